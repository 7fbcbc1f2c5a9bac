"""Reads a ClickHouse server with clickhouse-connect (HTTP) or clickhouse-driver (native) and prints what it got; clickhousego does the same in Go."""

import argparse
import datetime
import hashlib
import ipaddress
import json
import struct
import time

parser = argparse.ArgumentParser()
parser.add_argument("--client", choices=["connect", "driver"], required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--compression", default="none")
parser.add_argument("--user", default="reader")
parser.add_argument("--password-file", required=True)
parser.add_argument("--database", default="otel")
parser.add_argument("--output", required=True)
parser.add_argument("command")
parser.add_argument("arguments", nargs="*")
options = parser.parse_args()
with open(options.password_file, encoding="utf-8") as file:
    PASSWORD = file.read().strip()
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Connect:
    """clickhouse-connect. It takes times to microseconds unless it is asked for their numbers, which are nanoseconds here."""

    def __init__(self):
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError

        self.error = ClickHouseError
        self.client = clickhouse_connect.get_client(
            host="127.0.0.1",
            port=options.port,
            username=options.user,
            password=PASSWORD,
            database=options.database,
            compress=False if options.compression == "none" else options.compression,
        )

    def rows(self, statement, parameters=None, formats=None):
        with self.client.query_rows_stream(
            statement,
            parameters=parameters,
            query_formats={"DateTime64": "int", "FixedString": "bytes"} if formats is None else formats,
        ) as stream:
            yield stream.source.column_names, [one.name for one in stream.source.column_types]
            yield from stream

    def run(self, statement):
        if not statement.startswith(("SELECT", "SHOW")):
            return self.client.command(statement)  # as it is: a query gets a FORMAT at its end
        for _ in self.rows(statement):
            pass

    def code(self, error):
        text = str(error)
        start = text.find("ode: ")  # "Code: 497." in the server's words, "error code 497" in the client's
        start = start + 5 if start >= 0 else text.find("error code ") + 11
        digits = ""
        while start < len(text) and text[start].isdigit():
            digits += text[start]
            start += 1
        return int(digits or 0)


class Driver:
    """clickhouse-driver. It has no way to nanoseconds but numbers made by the server; see `select`."""

    def __init__(self):
        from clickhouse_driver import Client
        from clickhouse_driver.errors import Error

        self.error = Error
        self.client = Client(
            "127.0.0.1",
            options.port,
            options.database,
            options.user,
            PASSWORD,
            compression=False if options.compression == "none" else options.compression,
            # Strings as bytes: a FixedString is not text.
            settings={"strings_as_bytes": True},
        )

    def rows(self, statement, parameters=None, formats=None):
        rows = self.client.execute_iter(statement, parameters, with_column_types=True)
        columns = next(rows)
        yield [name for name, _ in columns], [kind for _, kind in columns]
        yield from rows

    def run(self, statement):
        for _ in self.rows(statement):
            pass

    def code(self, error):
        return getattr(error, "code", 0)


def nanoseconds(moment):
    """Of a datetime, to its microseconds."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
    return ((aware - EPOCH) // datetime.timedelta(microseconds=1)) * 1000


def text(value):
    return (value if isinstance(value, bytes) else value.encode()).decode("latin1")


def plain(value, kind):
    """A value as the lane compares it; values.go says how."""
    if kind.startswith("SimpleAggregateFunction("):
        return plain(value, kind[:-1].split(", ")[-1])
    if isinstance(value, (str, bytes)) and not kind.startswith("IPv"):
        return text(value)
    if kind.startswith("Array("):
        return [plain(item, kind[6:-1]) for item in value]
    if kind.startswith("Map("):
        return sorted(([text(key), text(one)] for key, one in value.items()), key=lambda pair: pair[0])
    if kind.startswith("DateTime"):
        return str(value if isinstance(value, int) else nanoseconds(value))
    if kind == "IPv6":
        address = ipaddress.ip_address(value.decode() if isinstance(value, bytes) else value)
        return (b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed).decode("latin1")
    if kind in ("Int64", "UInt64"):
        return str(value)
    if kind == "Float32":
        return struct.unpack("<f", struct.pack("<f", value))[0]
    if isinstance(value, int):
        return value
    raise TypeError(f"{value!r} of {kind}")


def emit(value):
    output.write(json.dumps(value) + "\n")


def rows(statement):
    result = client.rows(statement)
    names, kinds = next(result)
    emit(names)
    for row in result:
        emit([plain(value, kind) for value, kind in zip(row, kinds)])


def stream(statement):
    started = time.monotonic()
    digest = hashlib.sha256()
    count = 0
    first = 0.0
    # The one client counts nanoseconds by itself, for the other the server does.
    time_column = "Timestamp" if options.client == "connect" else "toUnixTimestamp64Nano(Timestamp)"
    result = client.rows(statement.replace("Timestamp", time_column, 1))
    next(result)
    for when, trace, body, attributes in result:
        if count == 0:
            first = time.monotonic() - started
        count += 1
        digest.update(f"{when}\t{text(trace)}\t{text(body)}\t{len(attributes)}\n".encode("latin1"))
    total = time.monotonic() - started
    emit({"count": count, "digest": digest.hexdigest(), "firstMs": round(first * 1000), "totalMs": round(total * 1000)})


def parameters(given):
    values = json.loads(given)
    if options.client == "connect":
        statement = (
            "SELECT {text:String}, toString({number:UInt64}), toString({list:Array(String)}), count() "
            "FROM otel_logs WHERE Body = {text:String}"
        )
        values = {**values, "number": int(values["number"]), "list": json.loads(values["list"].replace("'", '"'))}
    else:
        # clickhouse-driver writes the values into the statement itself.
        statement = (
            "SELECT %(text)s, toString(toUInt64(%(number)s)), toString(%(list)s), count() "
            "FROM otel_logs WHERE Body = %(text)s"
        )
        values = {**values, "number": int(values["number"]), "list": json.loads(values["list"].replace("'", '"'))}
    result = client.rows(statement, values)
    next(result)
    (text_value, number, items, count) = next(result)
    emit([text(text_value).encode("latin1").decode(), text(number), text(items).encode("latin1").decode(), count])


def refused(statements):
    for statement in statements:
        try:
            client.run(statement)
            emit(None)
        except client.error as error:
            emit({"code": client.code(error), "message": str(error).split("Stack trace")[0].strip()})


COMMANDS = {
    "rows": lambda arguments: rows(arguments[0]),
    "stream": lambda arguments: stream(arguments[0]),
    "parameters": lambda arguments: parameters(arguments[0]),
    "refused": refused,
}
client = Connect() if options.client == "connect" else Driver()
with open(options.output, "w", encoding="utf-8") as output:
    COMMANDS[options.command](options.arguments)
