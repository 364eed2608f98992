/** Text that cannot become markup. */
export function escapeText(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] as string);
}

/** A coordinate with a tenth of a pixel. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Round numbers between two, at most about so many. */
export function ticksBetween(from: number, to: number, most: number): number[] {
  const rough = Math.max(to - from, 1e-6) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999) ?? rough;
  const [first, last] = [Math.ceil(from / step - 1e-9), Math.floor(to / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A picture that is as wide as its place. */
export function drawing(width: number, height: number, label: string, parts: readonly string[], id = ""): string {
  const name = id === "" ? "" : ` id="${id}"`;
  return `<svg${name} viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${parts.join("\n")}</svg>`;
}

export interface TextStyle {
  readonly anchor?: "start" | "middle" | "end";
  readonly kind?: string;
}

export function textAt(x: number, y: number, text: string, { anchor = "start", kind = "" }: TextStyle = {}): string {
  const style = kind === "" ? "" : ` class="${kind}"`;
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}"${style}>${escapeText(text)}</text>`;
}

/** What a text of the page's small size takes; a guess on the safe side. */
export function widthOf(text: string): number {
  return text.length * 6.4;
}

/** A duration with a unit that suits it. */
export function describeMs(ms: number): string {
  if (!Number.isFinite(ms)) return "never";
  if (ms >= 1000) return `${round(ms / 1000, ms >= 100_000 ? 0 : 2)} s`;
  return `${round(ms, ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
