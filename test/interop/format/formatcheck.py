"""Checks a log of meshproof and its rows, from docs/design/format.md and docs/schema.md alone.

It shares nothing with meshproof: Python 3.9 or newer, the standard library, and the standards that the document names.

    formatcheck.py document FILE                    the worked bytes of docs/design/format.md
    formatcheck.py log --log URL --key VKEY --store URL --user NAME --password-file FILE [--proofs DIRECTORY]

Prints JSON and ends with 0, or one line that begins "formatcheck: " and ends with 1.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import struct
import sys
import urllib.parse
import urllib.request


class Refused(Exception):
    """What was read is not what the document says."""


def require(holds, sentence):
    if not holds:
        raise Refused(sentence)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- The row -----------------------------------------------------------------------------------

# Tables with their kind and their columns (docs/schema.md), from LeafVersion on.
TABLES = [
    ("access_records", 1, """
LeafVersion:u8 Kind:u8 Salt:b16 ReceivedTimestamp:time Sender:s SenderAuth:s RetentionClass:s
Truncations:[s] Redactions:[s] Timestamp:time TimestampRaw:u64 ObservedTimestamp:time
DurationNs:i64 UpstreamDurationNs:i64 Phase:s TraceId:s SpanId:s ParentSpanId:s TraceFlags:u8
TraceSource:s RequestId:s Actor:s ActorKind:s EndUser:s EndUserIssuer:s AuthMethod:s
PeerPrincipal:s PeerNamespace:s PeerServiceAccount:s PeerWorkload:s PeerAddress:ip PeerPort:u16
PeerCertificateHash:s ForwardedFor:s ActorChain:[s] TlsVersion:s TlsCipher:s
RequestedServerName:s UserAgent:s ServiceName:s LocalPrincipal:s LocalNamespace:s
LocalServiceAccount:s LocalWorkload:s LocalAddress:ip LocalPort:u16 UpstreamCluster:s
UpstreamAddress:s Route:s Direction:s Protocol:s Method:s Authority:s Path:s Query:s
RpcService:s RpcMethod:s Decision:s DecisionEngine:s Policy:s DecisionReason:s ShadowDecision:s
ShadowPolicy:s StatusCode:u16 GrpcStatus:i16 ResponseFlags:s ResponseDetails:s RequestBytes:i64
ResponseBytes:i64 TransportFailure:s ConnectionId:s Attempts:u16 Dialect:s Mesh:s ProxyId:s
ClusterName:s Body:s ResourceAttributes:map LogAttributes:map DataClass:s ActorAssurance:s
UserAssurance:s TimeBasis:s TimePrecision:s DecisionSource:s ParseStatus:s SampledHint:i8
"""),
    ("otel_traces", 2, """
LeafVersion:u8 Kind:u8 Salt:b16 ReceivedTimestamp:time Sender:s SenderAuth:s RetentionClass:s
Truncations:[s] Redactions:[s] Timestamp:time TraceId:s SpanId:s ParentSpanId:s TraceState:s
SpanName:s SpanKind:s ServiceName:s ResourceAttributes:map ScopeName:s ScopeVersion:s
SpanAttributes:map Duration:u64 StatusCode:s StatusMessage:s Events.Timestamp:[time]
Events.Name:[s] Events.Attributes:[map] Links.TraceId:[s] Links.SpanId:[s] Links.TraceState:[s]
Links.Attributes:[map] TimestampRaw:u64 EndTimestampRaw:u64 TraceFlags:u32 ResourceSchemaUrl:s
ScopeSchemaUrl:s ScopeAttributes:map DroppedAttributesCount:u32 DroppedEventsCount:u32
DroppedLinksCount:u32 Events.DroppedAttributesCount:[u32] Links.DroppedAttributesCount:[u32]
Links.TraceFlags:[u32]
"""),
    ("otel_logs", 3, """
LeafVersion:u8 Kind:u8 Salt:b16 ReceivedTimestamp:time Sender:s SenderAuth:s RetentionClass:s
Truncations:[s] Redactions:[s] Timestamp:time TraceId:s SpanId:s TraceFlags:u8 SeverityText:s
SeverityNumber:u8 ServiceName:s Body:s ResourceSchemaUrl:s ResourceAttributes:map
ScopeSchemaUrl:s ScopeName:s ScopeVersion:s ScopeAttributes:map LogAttributes:map EventName:s
TimestampRaw:u64 ObservedTimestamp:time DroppedAttributesCount:u32 FlagsRaw:u32
"""),
    ("trace_links", 4, """
LeafVersion:u8 Kind:u8 Salt:b16 Timestamp:time TraceId:s Rule:s Confidence:f32 AccessLog:s
AccessLeaf:u64 SpanLog:s SpanLeaf:u64 ClockDifferenceNs:i64
"""),
    ("findings", 5, """
LeafVersion:u8 Kind:u8 Salt:b16 Timestamp:time FindingKind:s Severity:s State:s Subject:s
TraceId:s Message:s Evidence:[u64] Detail:map
"""),
    ("control_records", 6, """
LeafVersion:u8 Kind:u8 Salt:b16 Timestamp:time ControlKind:s Detail:map
"""),
]
COLUMNS = {
    kind: (table, [tuple(column.rsplit(":", 1)) for column in columns.split()])
    for table, kind, columns in TABLES
}

# struct formats, all little endian. DateTime64(9) is nanoseconds as Int64.
NUMBERS = {
    "u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q",
    "i8": "<b", "i16": "<h", "i64": "<q", "f32": "<f", "time": "<q",
}  # fmt: skip
FIXED = {"b16": 16, "ip": 16}


class Reader:
    """RowBinary, read value by value."""

    def __init__(self, data, at=0):
        self.data = data
        self.at = at

    def take(self, count):
        end = self.at + count
        require(end <= len(self.data), f"the bytes end within a value at byte {self.at}")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def leb128(self):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                require(byte != 0 or shift == 7, f"a length before byte {self.at} is not in its shortest form")
                return value
            require(shift < 64, f"a length before byte {self.at} is too long")

    def value(self, kind):
        if kind in NUMBERS:
            form = NUMBERS[kind]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if kind in FIXED:
            return self.take(FIXED[kind])
        if kind == "s":
            return self.take(self.leb128())
        if kind == "map":
            pairs = [(self.value("s"), self.value("s")) for _ in range(self.leb128())]
            keys = [key for key, _ in pairs]
            require(keys == sorted(keys), f"the keys of a map before byte {self.at} are not sorted")
            return pairs
        require(kind.startswith("["), f"no such type: {kind}")
        return [self.value(kind[1:-1]) for _ in range(self.leb128())]


def write_value(kind, value):
    """The inverse of Reader.value."""
    if kind in NUMBERS:
        return struct.pack(NUMBERS[kind], value)
    if kind in FIXED:
        return value
    if kind == "s":
        return write_leb128(len(value)) + value
    if kind == "map":
        return write_leb128(len(value)) + b"".join(write_value("s", text) for pair in value for text in pair)
    return write_leb128(len(value)) + b"".join(write_value(kind[1:-1], item) for item in value)


def write_leb128(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


CUT = re.compile(
    rb"[A-Za-z.]+(\[\d+\]|\[\".*\"\]| key)* \d+ (bytes|items) sha256:[0-9a-f]{64}", re.DOTALL
)


def read_row(reader, kind):
    """The row of this kind at the reader's place: its bytes and its columns by name."""
    require(kind in COLUMNS, f"there is no kind {kind}")
    start = reader.at
    columns = COLUMNS[kind][1]
    values = {name: reader.value(type) for name, type in columns}
    row = reader.data[start : reader.at]
    require(values["LeafVersion"] == 1, f"a row has version {values['LeafVersion']}")
    require(values["Kind"] == kind, f"a row of kind {values['Kind']} stands where kind {kind} belongs")
    spelled = b"".join(write_value(type, values[name]) for name, type in columns)
    require(spelled == row, "a row is not spelled as its values are")
    lengths = {}
    for name, _ in columns:
        nested, dot, _ = name.partition(".")
        if dot:
            length = lengths.setdefault(nested, len(values[name]))
            require(length == len(values[name]), f"the arrays of {nested} differ in length")
    for line in values.get("Truncations", []):
        require(CUT.fullmatch(line), f"no line of Truncations: {line!r}")
    return row, values


# --- Entry, tree, checkpoint, proof ---------------------------------------------------------------


def entry_of(row):
    return bytes([1, row[1]]) + sha256(row)


def leaf_of(entry):
    return sha256(b"\0", entry)


def node_of(left, right):
    return sha256(b"\1", left, right)


def root_of(leaves):
    """RFC 6962, section 2.1: complete subtrees from the left, joined from the right."""
    peaks = []
    for index, leaf in enumerate(leaves):
        peaks.append(leaf)
        while index & 1:
            right = peaks.pop()
            peaks.append(node_of(peaks.pop(), right))
            index >>= 1
    root = peaks.pop()
    while peaks:
        root = node_of(peaks.pop(), root)
    return root


def root_by_proof(leaf, index, size, hashes):
    """RFC 9162, section 2.1.3.2."""
    require(index < size, f"index {index} in a tree of {size}")
    last = size - 1
    node = leaf
    for sibling in hashes:
        require(last > 0, "the proof has too many hashes")
        if index & 1 or index == last:
            node = node_of(sibling, node)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            node = node_of(node, sibling)
        index >>= 1
        last >>= 1
    require(last == 0, "the proof has too few hashes")
    return node


def read_base64(text):
    raw = base64.b64decode(text, validate=True)
    require(base64.b64encode(raw).decode() == text, "base64 is not canonical")
    return raw


def read_key(vkey):
    name, key_id, text = vkey.split("+", 2)
    raw = read_base64(text)
    require(raw[:1] == b"\1" and len(raw) == 33, "the verifier key is none of Ed25519")
    require(sha256(name.encode(), b"\n", raw)[:4].hex() == key_id, "the key ID is not that of the key")
    return name, bytes.fromhex(key_id), raw[1:]


def open_checkpoint(note, vkey):
    """Origin, size and root of a checkpoint that the key signed."""
    name, key_id, key = read_key(vkey)
    text, gap, lines = note.rpartition("\n\n")
    require(gap and lines.endswith("\n"), "the checkpoint is no signed note")
    text += "\n"
    signed = False
    for line in lines[:-1].split("\n"):
        dash, signer, encoded = line.split(" ")
        require(dash == "\u2014", "a signature line does not begin with a dash")
        raw = read_base64(encoded)
        if signer != name or raw[:4] != key_id:
            continue
        require(verify_ed25519(key, text.encode(), raw[4:]), "the checkpoint's signature does not verify")
        signed = True
    require(signed, "the checkpoint is not signed by the key")
    origin, size, root = text.split("\n")[:3]
    require(origin == name, "the checkpoint is of another origin")
    require(str(int(size)) == size, "the size is not spelled as it should be")
    return origin, int(size), read_base64(root)


def check_proof(text, vkey):
    """The row that a tlog-proof proves, and its index."""
    head, gap, note = text.partition("\n\n")
    require(gap, "the proof has no checkpoint")
    lines = head.split("\n")
    require(lines[0] == "c2sp.org/tlog-proof@v1", "the first line is not that of a proof")
    require(len(lines) > 2 and lines[1].startswith("extra "), "the proof has no row")
    row = read_base64(lines[1][len("extra ") :])
    require(lines[2].startswith("index "), "the proof has no index")
    index = int(lines[2][len("index ") :])
    hashes = [read_base64(line) for line in lines[3:]]
    _, size, root = open_checkpoint(note, vkey)
    require(len(row) > 2, "the row is too short")
    leaf = leaf_of(entry_of(row))
    require(root_by_proof(leaf, index, size, hashes) == root, "the proof does not lead to the root")
    reader = Reader(row)
    read_row(reader, row[1])
    require(reader.at == len(row), "bytes follow the row")
    return index, row


# --- Ed25519 (RFC 8032, section 5.1.7 and appendix A): the standard library has none -----------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    h, g, k, m = f - e, d - c, d + c, f + e
    return h * g % P, k * m % P, g * k % P, h * m % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decompress(bytes.fromhex("58" + "66" * 31))


def verify_ed25519(key, message, signature):
    if len(signature) != 64:
        return False
    a, r = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    challenge = hashlib.sha512(signature[:32] + key + message).digest()
    h = int.from_bytes(challenge, "little") % ORDER
    left, right = multiply(s, BASE), add(r, multiply(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


# --- The worked bytes of the document ------------------------------------------------------------


def check_document(path):
    with open(path, encoding="utf-8") as file:
        document = file.read()
    leaves, bundle, seen = [], b"", []
    sections = re.split(r"^### Record (\d+): ", document, flags=re.MULTILINE)[1:]
    for number, section in zip(sections[::2], sections[1::2]):
        require(int(number) == len(leaves), f"record {number} is out of order")
        block = re.search(r"```text\n(row .*?)```", section, re.DOTALL)[1]
        given = {
            label: bytes.fromhex("".join(digits.split()))
            for label, digits in re.findall(r"^(row|row hash|entry|leaf)  +((?:[0-9a-f]+\s+)+)", block, re.MULTILINE)
        }
        table = re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \| ([\w.]+) \|", section, re.MULTILINE)
        reader = Reader(given["row"])
        row, values = read_row(reader, given["row"][1])
        require(reader.at == len(given["row"]), f"bytes follow row {number}")
        at = 0
        for (offset, digits, name), (column, type) in zip(table, COLUMNS[row[1]][1]):
            spelled = write_value(type, values[column])
            require(name == column and int(offset) == at, f"row {number}: {name} at {offset} is not in its place")
            require(bytes.fromhex(digits) == spelled, f"row {number}: the bytes of {name} are not those of the row")
            at += len(spelled)
        require(at == len(row) and len(table) == len(values), f"row {number}: the table is not the whole row")
        require(given["row hash"] == sha256(row), f"row {number}: the hash")
        require(given["entry"] == entry_of(row), f"row {number}: the entry")
        require(given["leaf"] == leaf_of(given["entry"]), f"row {number}: the leaf hash")
        leaves.append(given["leaf"])
        bundle += struct.pack(">H", len(given["entry"])) + given["entry"]
        seen.append(row[1])
    require(sorted(seen) == sorted(COLUMNS), "not every kind has a record")
    spelled = bytes.fromhex("".join(re.search(r"```text\nbundle  +([0-9a-f\s]+)```", document)[1].split()))
    require(spelled == bundle, "the bundle is not that of the entries")
    vkey = re.search(r"^(format\.example/log\+\S+)$", document, re.MULTILINE)[1]
    note = re.search(r"```text\n(format\.example/log\n.*?)```", document, re.DOTALL)[1]
    _, size, root = open_checkpoint(note, vkey)
    require(size == len(leaves) and root == root_of(leaves), "the root is not that of the leaves")
    proof = re.search(r"```text\n(c2sp.*?)```", document, re.DOTALL)[1]
    index, _ = check_proof(proof, vkey)
    return {"records": size, "kinds": sorted(seen), "proof": index}


# --- A log over HTTP, its rows from ClickHouse -----------------------------------------------------

TIME_LIMIT_SECONDS = 60


def fetch(url):
    with urllib.request.urlopen(url, timeout=TIME_LIMIT_SECONDS) as response:
        return response.read()


def tile_path(index):
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    return re.sub(r"(\d{3})(?=\d)", r"x\1/", digits)


def read_entries(log, size):
    entries = []
    for index in range(-(-size // 256)):
        width = min(256, size - index * 256)
        path = f"tile/entries/{tile_path(index)}" + (f".p/{width}" if width < 256 else "")
        bundle = fetch(f"{log}/{path}")
        at = 0
        for _ in range(width):
            require(bundle[at : at + 2] == b"\x00\x22", f"{path}: no entry of 34 bytes at byte {at}")
            entries.append(bundle[at + 2 : at + 36])
            require(len(entries[-1]) == 34 and entries[-1][0] == 1, f"{path}: no entry of version 1 at byte {at}")
            at += 36
        require(at == len(bundle), f"{path}: bytes follow the last entry")
    return entries


def read_tiles(log, leaves):
    """Every tile against the leaves. Returns how many there are."""
    hashes, level, count = leaves, 0, 0
    while hashes:
        for index in range(-(-len(hashes) // 256)):
            part = hashes[index * 256 : (index + 1) * 256]
            path = f"tile/{level}/{tile_path(index)}" + (f".p/{len(part)}" if len(part) < 256 else "")
            require(fetch(f"{log}/{path}") == b"".join(part), f"{path} is not what stands below it")
            count += 1
        hashes = [root_of(hashes[at : at + 256]) for at in range(0, len(hashes) - 255, 256)]
        level += 1
    return count


def ask(options, statement):
    request = urllib.request.Request(
        f"{options.store}/?" + urllib.parse.urlencode({"database": "otel"}),
        data=statement.encode(),
        headers={"X-ClickHouse-User": options.user, "X-ClickHouse-Key": options.password},
    )
    return fetch(request)


def check_log(options):
    with open(options.password_file, encoding="utf-8") as file:
        options.password = file.readline().strip()
    _, size, root = open_checkpoint(fetch(f"{options.log}/checkpoint").decode(), options.key)
    entries = read_entries(options.log, size)
    leaves = [leaf_of(entry) for entry in entries]
    require(root_of(leaves) == root, "the entries do not give the signed root")
    tiles = read_tiles(options.log, leaves)
    rows, kinds, log_ids = {}, {}, set()
    for kind, (table, columns) in COLUMNS.items():
        names = ", ".join(f"`{name}`" for name, _ in columns)
        data = ask(options, f"SELECT LogId, LeafIndex, {names} FROM {table} WHERE LeafIndex < {size} FORMAT RowBinary")
        reader = Reader(data)
        while reader.at < len(data):
            log_ids.add(reader.value("s"))
            index = reader.value("u64")
            row, _ = read_row(reader, kind)
            require(index not in rows, f"record {index} has two rows")
            require(entry_of(row) == entries[index], f"record {index} in {table} is not what was sealed")
            rows[index] = row
            kinds[kind] = kinds.get(kind, 0) + 1
    missing = next((index for index in range(size) if index not in rows), None)
    require(missing is None, f"record {missing} has no row")
    log_id = sha256(rows[0])[:8].hex()
    require(log_ids == {log_id.encode()}, f"the rows bear {log_ids}, row 0 gives {log_id}")
    proofs = 0
    for name in sorted(os.listdir(options.proofs)) if options.proofs else []:
        with open(os.path.join(options.proofs, name), encoding="utf-8", newline="") as file:
            try:
                index, row = check_proof(file.read(), options.key)
                require(rows.get(index) == row, "the proof's row is not the one in the table")
            except (Refused, ValueError) as error:
                raise Refused(f"{name}: {error}") from error
        proofs += 1
    return {"size": size, "root": base64.b64encode(root).decode(), "tiles": tiles, "kinds": kinds, "proofs": proofs, "logId": log_id}


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("document").add_argument("file")
    log = commands.add_parser("log")
    for name in ("log", "key", "store", "user", "password-file"):
        log.add_argument(f"--{name}", required=True)
    log.add_argument("--proofs")
    options = parser.parse_args()
    try:
        result = check_document(options.file) if options.command == "document" else check_log(options)
    except (Refused, ValueError) as error:
        sys.exit(f"formatcheck: {error}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
