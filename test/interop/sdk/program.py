"""A program of a user of the Python SDK; what program.ts says holds for this one."""

import argparse
import base64
import json
import logging
import math
import time as clock

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

parser = argparse.ArgumentParser()
parser.add_argument("--encoding", default="proto")
parser.add_argument("--service", required=True)
parser.add_argument("--records", type=int, required=True)
parser.add_argument("--manifest", required=True)
parser.add_argument("--deep", action="store_true")
options = parser.parse_args()

if options.encoding == "json":
    from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

BASE_NS = 1_790_000_000_000_000_000
SPANS_OF_A_TRACE = 10
ATTRIBUTE_LIMIT = 128

# Spans, logs, resources and scopes take any value.
VALUES = [
    "plain",
    'ünï "quoted" \\ \n \U0001f980',
    "",
    True,
    False,
    0,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    0.1,
    -1.5e300,
    5e-324,
    1.0,
    -0.0,
    math.inf,
    math.nan,
    b"\x00\x01\xfe\xff",
    b"",
    ["a", "", "ü"],
    [1, -2, 2**60 + 1],
    [0.5, -0.25],
    [True, False],
    [],
    {"text": "ä", "nested": {"n": 1, "list": [1, "two", [False]]}, "a key with spaces": 2.5},
    {},
    ["mixed", 1, [True, {"deep": 0.5}], b"\x01"],
    None,
]
SEVERITIES = list(SeverityNumber)


def written(value):
    """The form of a value in the manifest."""
    if value is None:
        return None
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, str):
        return {"string": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        if math.isnan(value):
            return {"double": "NaN"}
        if math.isinf(value):
            return {"double": "Infinity" if value > 0 else "-Infinity"}
        return {"double": value}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return {"array": [written(item) for item in value]}
    return {"map": written_map(value)}


def written_map(values):
    return [[key, written(value)] for key, value in values.items()]


def odd_attributes(n):
    attributes = {"n": n, "text": f"value {n}", "ratio": n / 7, f"odd {n % len(VALUES)}": VALUES[n % len(VALUES)]}
    if n % 97 == 96:
        attributes = {**{f"many {i}": i for i in range(ATTRIBUTE_LIMIT)}, **attributes}
    return attributes


def limited(attributes):
    """What of the attributes the SDK keeps, and how many it drops: when it has as many as it may, the oldest goes."""
    return dict(list(attributes.items())[-ATTRIBUTE_LIMIT:]), max(0, len(attributes) - ATTRIBUTE_LIMIT)


def hex_id(number, digits):
    return format(number, f"0{digits}x") if number else ""


diagnostics = []


class Diagnostics(logging.Handler):
    def emit(self, record):
        line = f"{record.levelname.lower()} {record.getMessage()}"
        if line not in diagnostics:
            diagnostics.append(line)


logging.getLogger("opentelemetry").addHandler(Diagnostics())
logging.getLogger("opentelemetry").setLevel(logging.INFO)

exports = []


def watched(exporter, signal, success, attributes_of):
    """Writes down what the exporter says of each batch."""
    act = exporter.export

    def export(batch):
        started = clock.time()
        result = act(batch)
        exports.append(
            {
                "signal": signal,
                "records": [attributes_of(record)["n"] for record in batch],
                "startedMs": round(started * 1000),
                "endedMs": round(clock.time() * 1000),
                "error": None if result is success else result.name,
            }
        )
        return result

    exporter.export = export
    return exporter


resource = Resource.create(
    {
        "service.name": options.service,
        "service.instance.id": "ünï-1",
        "process.pid": 4242,
        "process.command_args": ["python", "--flag", ""],
        "empty": "",
        "large": 2**53 + 1,
        "nested": {"a": [1, {"b": True}]},
    },
    "https://opentelemetry.io/schemas/1.40.0",
)
loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
loggers.add_log_record_processor(
    BatchLogRecordProcessor(
        watched(
            OTLPLogExporter(),
            "logs",
            LogRecordExportResult.SUCCESS,
            lambda record: record.log_record.attributes,
        )
    )
)
tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
tracers.add_span_processor(
    BatchSpanProcessor(
        watched(OTLPSpanExporter(), "traces", SpanExportResult.SUCCESS, lambda span: span.attributes)
    )
)
SCOPES = [
    {
        "name": "shop",
        "version": "1.4.0",
        "schemaUrl": "https://example.org/schema",
        "attributes": {"short": True, "weights": [1.5, 2.5]},
    },
    {"name": "plain", "version": "", "schemaUrl": "", "attributes": {}},
]
SCOPE_ARGUMENTS = [tuple(SCOPES[0].values()), ("plain",)]
TRACERS = [tracers.get_tracer(*arguments) for arguments in SCOPE_ARGUMENTS]
LOGGERS = [loggers.get_logger(*arguments) for arguments in SCOPE_ARGUMENTS]
STATUSES = [
    trace.Status(trace.StatusCode.UNSET),
    trace.Status(trace.StatusCode.OK),
    trace.Status(trace.StatusCode.ERROR, "it bröke"),
]
logs = []
spans = []
access_logs = []


def log(n, within):
    at = BASE_NS + n * 100_000_007
    severity = SEVERITIES[n % len(SEVERITIES)]
    attributes = odd_attributes(n)
    body = f"log {n}" if n % 3 == 0 else VALUES[n % len(VALUES)]
    event_name = f"event.{n % 7}" if n % 5 == 0 else None
    LOGGERS[n % 2].emit(
        LogRecord(
            timestamp=at,
            observed_timestamp=at + 17,
            severity_text=severity.name,
            severity_number=severity,
            body=body,
            attributes=attributes,
            event_name=event_name,
        )
    )
    kept, dropped = limited(attributes)
    logs.append(
        {
            "n": n,
            "scope": n % 2,
            "time": str(at),
            "observed": str(at + 17),
            "severityText": severity.name,
            "severityNumber": severity.value,
            "body": written(body),
            "attributes": written_map(kept),
            "dropped": dropped,
            "eventName": event_name or "",
            "traceId": hex_id(within.trace_id, 32) if within else "",
            "spanId": hex_id(within.span_id, 16) if within else "",
            "flags": int(within.trace_flags) if within else 0,
        }
    )


def access_log(n, within):
    """An access log of a gateway in the program, of the request that its span is: the words are Envoy's."""
    attributes = {
        "n": 1_000_000 + n,
        "method": "GET",
        "path": f"/orders/{n}",
        "protocol": "HTTP/2",
        "response_code": 200,
        "response_flags": "-",
        "response_code_details": "via_upstream",
        "upstream_cluster": "inbound|8080||",
        "duration": 3,
        "request_id": f"{options.service}-{n}",
        "downstream_remote_address": "10.1.2.3:40312",
    }
    LOGGERS[n % 2].emit(LogRecord(timestamp=BASE_NS + n * 100_000_007, attributes=attributes))
    access_logs.append(
        {
            "requestId": attributes["request_id"],
            "path": attributes["path"],
            "traceId": hex_id(within.trace_id, 32),
            "spanId": hex_id(within.span_id, 16),
        }
    )


def remote(n, is_remote=True):
    return trace.SpanContext(
        trace_id=0xA << 120 | (n + 1),
        span_id=0xB << 56 | (n + 1),
        is_remote=is_remote,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        trace_state=trace.TraceState([("vendor", "value"), ("other", "1")]),
    )


def flags(context):
    # This SDK says of a context whether it came from elsewhere, but not its W3C flags.
    return 0x300 if context is not None and context.is_remote else 0x100


parent = None
for n in range(options.records):
    if n % SPANS_OF_A_TRACE == 0:
        parent = remote(n) if n % (3 * SPANS_OF_A_TRACE) == 0 else None
    at = BASE_NS + n * 100_000_007
    attributes = odd_attributes(n)
    links = [
        trace.Link(remote(n * 10 + l, l == 1), {"l": l, "why": "bätch", "odd": VALUES[(n + l) % len(VALUES)]})
        for l in range(2 if n % 4 == 0 else 0)
    ]
    kind = list(trace.SpanKind)[n % 5]
    context = Context() if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
    span = TRACERS[n % 2].start_span(
        f"GET /{n % 20}",
        context=context,
        kind=kind,
        attributes=attributes,
        links=links,
        start_time=at,
    )
    own = span.get_span_context()
    events = [(f"event {e}", at + e + 1, {"e": e, "odd": VALUES[(n + e) % len(VALUES)]}) for e in range(n % 3)]
    for name, when, values in events:
        span.add_event(name, values, when)
    span.set_status(STATUSES[n % 3])
    if n % 7 == 0:
        log(n, None)
    else:
        with trace.use_span(span, end_on_exit=False):
            log(n, own)
    if n % 20 == 1:
        with trace.use_span(span, end_on_exit=False):
            access_log(n, own)
    end = at + n * 1001
    span.end(end)
    kept, dropped = limited(attributes)
    spans.append(
        {
            "n": n,
            "scope": n % 2,
            "name": f"GET /{n % 20}",
            # Of the protocol: one more than in the API, which knows no "unspecified".
            "kind": kind.value + 1,
            "traceId": hex_id(own.trace_id, 32),
            "spanId": hex_id(own.span_id, 16),
            "parentSpanId": hex_id(parent.span_id, 16) if parent else "",
            "traceState": own.trace_state.to_header(),
            "start": str(at),
            "end": str(end),
            "attributes": written_map(kept),
            "dropped": dropped,
            "events": [
                {"name": name, "time": str(when), "attributes": written_map(values)} for name, when, values in events
            ],
            "links": [
                {
                    "traceId": hex_id(link.context.trace_id, 32),
                    "spanId": hex_id(link.context.span_id, 16),
                    # This SDK does not send a link's trace state.
                    "traceState": "",
                    "attributes": written_map(link.attributes),
                    "flags": flags(link.context),
                }
                for link in links
            ],
            "status": {"code": n % 3, "message": "it bröke" if n % 3 == 2 else ""},
            "flags": flags(parent),
        }
    )
    parent = parent or own

if options.deep:
    deep = "bottom"
    for _ in range(150):
        deep = [deep]
    LOGGERS[0].emit(LogRecord(body=deep, attributes={"n": -1}))

loggers.shutdown()
tracers.shutdown()
with open(options.manifest, "w", encoding="utf-8") as file:
    json.dump(
        {
            "resource": {"schemaUrl": resource.schema_url, "attributes": written_map(resource.attributes)},
            "scopes": [{**scope, "attributes": written_map(scope["attributes"])} for scope in SCOPES],
            "logs": logs,
            "spans": spans,
            "accessLogs": access_logs,
            "exports": exports,
            "diagnostics": diagnostics,
        },
        file,
    )
