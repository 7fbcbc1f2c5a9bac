import { metrics } from "../parts/panels.ts";
import { rate } from "../parts/promql.ts";

export default metrics({
  title: "Recorded, by kind and dialect",
  description:
    "Records a second that became durable. A dialect that falls to nothing is a proxy whose log changed or does not arrive.",
  unit: "cps",
  queries: { "{{kind}} {{dialect}}": `sum by (kind, dialect) (${rate("meshproof_records")})` },
});
