/** What is marked on every panel over time. A row is a mark: `time`, `title`, `text`, and `tags` separated by commas. */
export const ANNOTATIONS = [
  {
    name: "Findings",
    colour: "orange",
    sql: `
SELECT Timestamp AS time, concat(FindingKind, ': ', Subject) AS title, Message AS text, concat(FindingKind, ',', Severity) AS tags
FROM findings
WHERE $__timeFilter(Timestamp) AND State = 'open' AND Severity != 'info'
ORDER BY time DESC LIMIT 200`,
  },
  {
    name: "Starts, stops, keys and retention",
    colour: "blue",
    sql: `
SELECT Timestamp AS time, ControlKind AS title, toString(Detail) AS text, ControlKind AS tags
FROM control_records
WHERE $__timeFilter(Timestamp) AND ControlKind IN ('start', 'stop', 'key_rotated', 'key_retired', 'retention_changed', 'erased')
ORDER BY time DESC LIMIT 200`,
  },
] as const;
