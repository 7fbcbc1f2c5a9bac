import { metrics } from "../parts/panels.ts";
import { gauge } from "../parts/promql.ts";

export default metrics({
  title: "The seal",
  description:
    "How long the oldest record without a signature has waited, and how old the newest published checkpoint is. Health is 503 after thirty checkpoint intervals.",
  unit: "s",
  queries: {
    "oldest unsigned record": `max(${gauge("meshproof_unsigned_seconds")})`,
    "newest checkpoint": `max(${gauge("meshproof_checkpoint_age_seconds")})`,
  },
});
