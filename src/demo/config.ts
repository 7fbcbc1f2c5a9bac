/** Name of the demo's log. */
export const ORIGIN = "shop.example";

/** How long a span waits for its access record. Short: a finding is sealed when it covers two windows, and nobody wants to watch minutes go by. */
const WINDOW = "3s";

/** The configuration of the demo's server, as a file: whatever differs from the defaults. All ports are free ones. */
export function configText(dataDirectory: string): string {
  return `# Made by \`meshproof demo\`. Port 0 means any free port; those in use stand in ports.json of the data directory.
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors:
  correlate: { window: ${WINDOW} }
  seal: { origin: ${ORIGIN} }
exporters: { clickhouse: { embedded: { http_port: 0, native_port: 0 } } }
extensions: { health_check: { endpoint: "127.0.0.1:0" }, api: { endpoint: "127.0.0.1:0" } }
storage: { directory: ${JSON.stringify(dataDirectory)} }
service: { telemetry: { logs: { level: error }, metrics: { address: "127.0.0.1:0" } } }
`;
}
