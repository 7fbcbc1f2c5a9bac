import {
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import protobuf from "protobufjs";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import {
  encodeExportResponse,
  encodeStatus,
  MAX_MESSAGE_BYTES,
} from "../../src/core/otlp-status.ts";

/** google/rpc/status.proto and error_details.proto, as far as we write them. */
const { root } = protobuf.parse(`syntax = "proto3"; package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message BadRequest { message FieldViolation { string field = 1; string description = 2; } repeated FieldViolation field_violations = 1; }`);
const [Status, BadRequest] = [
  root.lookupType("google.rpc.Status"),
  root.lookupType("google.rpc.BadRequest"),
];

t.test("full success is zero bytes, or {}", async (t) => {
  t.equal(encodeExportResponse("logs", "protobuf", { rejected: 0, message: "" }).length, 0);
  t.equal(encodeExportResponse("traces", "json", { rejected: 0, message: "" }).toString(), "{}");
});

t.test("partial success is read back by the OpenTelemetry SDK", async (t) => {
  for (const rejected of [1, 127, 128, 2 ** 31, 2 ** 40]) {
    const result = { rejected, message: "records 3 and 5: bad" };
    t.match(
      ProtobufLogsSerializer.deserializeResponse(encodeExportResponse("logs", "protobuf", result)),
      { partialSuccess: { rejectedLogRecords: rejected, errorMessage: result.message } },
    );
    t.match(
      ProtobufTraceSerializer.deserializeResponse(
        encodeExportResponse("traces", "protobuf", result),
      ),
      { partialSuccess: { rejectedSpans: rejected, errorMessage: result.message } },
    );
    t.strictSame(
      JsonLogsSerializer.deserializeResponse(encodeExportResponse("logs", "json", result)),
      { partialSuccess: { rejectedLogRecords: String(rejected), errorMessage: result.message } },
    );
    t.strictSame(
      JsonTraceSerializer.deserializeResponse(encodeExportResponse("traces", "json", result)),
      { partialSuccess: { rejectedSpans: String(rejected), errorMessage: result.message } },
    );
  }
});

t.test("a warning beside full acceptance has a message and no count", async (t) => {
  const warning = { rejected: 0, message: "clock is 3 s ahead" };
  t.strictSame(JSON.parse(encodeExportResponse("logs", "json", warning).toString()), {
    partialSuccess: { errorMessage: warning.message },
  });
  t.match(
    ProtobufLogsSerializer.deserializeResponse(encodeExportResponse("logs", "protobuf", warning)),
    { partialSuccess: { errorMessage: warning.message } },
  );
});

t.test("an error is a google.rpc.Status in either encoding", async (t) => {
  const error = new MeshproofError("OVERLOADED", "too much");
  t.strictSame(Status.toObject(Status.decode(encodeStatus("protobuf", error))), {
    code: 8,
    message: "too much",
  });
  t.strictSame(JSON.parse(encodeStatus("json", error).toString()), {
    code: 8,
    message: "too much",
  });
});

t.test("bad data is described by a google.rpc.BadRequest among the details", async (t) => {
  const error = new MeshproofError("BAD_REQUEST", "field 3: expected length-delimited, got varint");
  const status = Status.toObject(Status.decode(encodeStatus("protobuf", error)));
  t.equal(
    status.details[0].type_url ?? status.details[0].typeUrl,
    "type.googleapis.com/google.rpc.BadRequest",
  );
  t.strictSame(BadRequest.toObject(BadRequest.decode(status.details[0].value)), {
    fieldViolations: [{ description: error.message }],
  });
  t.strictSame(JSON.parse(encodeStatus("json", error).toString()).details, [
    {
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      fieldViolations: [{ description: error.message }],
    },
  ]);
});

t.test("a message is bounded and stays valid UTF-8", async (t) => {
  for (const text of ["a", "é", "€", "😀", "\ud800"]) {
    for (const shift of ["", "x", "xx", "xxx"]) {
      const { message } = JSON.parse(
        encodeStatus(
          "json",
          new MeshproofError("OVERLOADED", shift + text.repeat(20_000)),
        ).toString(),
      );
      t.ok(
        Buffer.byteLength(message) <= MAX_MESSAGE_BYTES &&
          Buffer.byteLength(message) > MAX_MESSAGE_BYTES - 8,
      );
      t.equal(
        message.isWellFormed() &&
          !message.slice(shift.length).includes("\ufffd".repeat(text === "\ud800" ? 9999 : 1)),
        true,
      );
    }
  }
  const exact = "x".repeat(MAX_MESSAGE_BYTES);
  t.equal(
    JSON.parse(encodeStatus("json", new MeshproofError("OVERLOADED", exact)).toString()).message,
    exact,
    "one that fits is not cut",
  );
});
