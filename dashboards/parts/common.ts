import {
  type DynamicConfigValue,
  MappingType,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";

/** What every panel says of itself. Grafana's grid is 24 wide; a height of 8 is about 300 pixels. */
export interface Common {
  readonly title: string;
  /** What one sees, and when to worry: the text behind the panel's i. */
  readonly description: string;
  readonly width?: number;
  readonly height?: number;
  /** Grafana's name of a unit: `reqps`, `percentunit`, `ns`, `s`, `bytes` and so on. */
  readonly unit?: string;
}

/** Words and their colours, the same on every dashboard. */
export const COLOURS: Readonly<Record<string, string>> = {
  allowed: "green",
  denied: "red",
  failed: "orange",
  unknown: "gray",
  ok: "green",
  broken: "red",
  gaps: "orange",
  error: "red",
  warning: "orange",
  info: "blue",
  open: "orange",
  resolved: "green",
};

/** What the builders of all panels have in common. */
interface AnyBuilder {
  title(title: string): this;
  description(description: string): this;
  span(width: number): this;
  height(height: number): this;
  unit(unit: string): this;
}

/** Says of a panel what every panel says; what `options` leaves out is taken from `defaults`. */
export function withCommon<T extends AnyBuilder>(
  panel: T,
  options: Common,
  defaults: { readonly width: number; readonly height: number },
): T {
  const { title, description, width = defaults.width, height = defaults.height, unit } = options;
  panel.title(title).description(description).span(width).height(height);
  return unit === undefined ? panel : panel.unit(unit);
}

/** Cells and values with a word of ours have its colour. */
export function colouredWords(): ValueMapping[] {
  const options = Object.fromEntries(
    Object.entries(COLOURS).map(([word, color], index) => [word, { color, index }]),
  );
  return [{ type: MappingType.ValueToText, options }];
}

/** The property of a field override that gives a series or a part one colour. */
export function fixedColour(fixedColor: string): DynamicConfigValue {
  return { id: "color", value: { mode: "fixed", fixedColor } };
}
