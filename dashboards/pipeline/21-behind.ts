import { metrics } from "../parts/panels.ts";
import { gauge } from "../parts/promql.ts";

export default metrics({
  title: "Records on their way",
  description:
    "Records in the tree that are not yet under a signed checkpoint, not yet published, or not yet in ClickHouse.",
  unit: "short",
  queries: {
    "not signed": `sum(clamp_min(${gauge("meshproof_tree_size")} - ${gauge("meshproof_signed_tree_size")}, 0))`,
    "not published": `sum(clamp_min(${gauge("meshproof_tree_size")} - ${gauge("meshproof_published_tree_size")}, 0))`,
    "not stored": `sum(clamp_min(${gauge("meshproof_tree_size")} - ${gauge("meshproof_stored_through")}, 0))`,
  },
});
