import type { Wave } from "../recorder.js";
import { describeMs, drawing, px, textAt, ticksBetween } from "./svg.js";
import type { Knower } from "./wave.js";

const [width, height] = [1040, 370];
const [left, right, top, bottom] = [58, 20, 26, 52];
const [plotWidth, plotHeight] = [width - left - right, height - top - bottom];
/** Hops that have a colour of their own. */
export const mostHops = 8;

/** Time on the axis. */
interface Scale {
  x(ms: number): number;
  readonly ticks: readonly { readonly ms: number; readonly text: string }[];
  readonly title: string;
}

/** How many know, over the time since the first of them did, or since the member said so itself. */
export function drawCurve(wave: Wave, knowers: readonly Knower[]): string {
  const sinceMs = wave.kind === "crash" ? (knowers[0]?.afterMs ?? 0) : 0;
  const times = knowers.map(({ afterMs }) => afterMs - sinceMs);
  const scale = scaleOf(times, originOf(wave, sinceMs));
  const most = Math.max(wave.others, knowers.length, 1);
  const y = (count: number): number => top + plotHeight * (1 - count / most);
  const steps = times.map((ms, i) => `H${px(scale.x(ms))}V${px(y(i + 1))}`).join("");
  const line = `M${left} ${px(y(0))}${steps}H${left + plotWidth}`;
  const parts = [
    drawGrid(scale, y, most),
    `<path class="under" d="${line}V${px(y(0))}H${left}z"/>`,
    `<path class="curve" d="${line}"/>`,
    drawDots(knowers, times, scale, y),
    ...drawMilestones(times, scale, y, most),
  ];
  return drawing(width, height, "Members that know, over time", parts);
}

function originOf({ kind }: Wave, sinceMs: number): string {
  if (kind === "crash") return `since the first member knew, ${describeMs(sinceMs)} after the crash`;
  return kind === "leave" ? "since the member said that it leaves" : "since the member started";
}

/** By the logarithm when most would stand in the first pixels. */
function scaleOf(times: readonly number[], origin: string): Scale {
  const lastMs = Math.max(times.at(-1) ?? 0, 0.001);
  const mostMs = times[Math.floor(times.length * 0.9)] ?? lastMs;
  if (mostMs > lastMs / 12) {
    const endMs = lastMs * 1.06;
    const unitMs = endMs >= 2000 ? 1000 : 1;
    const ticks = ticksBetween(0, endMs / unitMs, 8).map((at) => ({ ms: at * unitMs, text: String(at) }));
    const title = `${unitMs === 1 ? "milliseconds" : "seconds"} ${origin}`;
    return { x: (ms) => left + (plotWidth * ms) / endMs, ticks, title };
  }
  const [low, high] = [Math.log10(0.1), Math.log10(lastMs * 1.3)];
  const x = (ms: number): number => left + (plotWidth * (Math.log10(Math.max(ms, 0.1)) - low)) / (high - low);
  const ticks = Array.from({ length: Math.floor(high) + 2 }, (_, i) => 10 ** (i - 1)).map((ms) => {
    return { ms, text: ms >= 1000 ? `${ms / 1000} s` : `${ms} ms` };
  });
  return { x, ticks, title: `time ${origin} (logarithmic)` };
}

function drawGrid({ x, ticks, title }: Scale, y: (count: number) => number, most: number): string {
  const across = ticksBetween(0, 1, 4).map((share) => {
    const at = y(share * most);
    const label = textAt(left - 8, at + 4, String(Math.round(share * most)), { anchor: "end", kind: "small" });
    return `<path class="grid" d="M${left} ${px(at)}h${plotWidth}"/>${label}`;
  });
  const down = ticks.map(({ ms, text }) => {
    const label = textAt(x(ms), top + plotHeight + 18, text, { anchor: "middle", kind: "small" });
    return `<path class="tick" d="M${px(x(ms))} ${top + plotHeight}v5"/>${label}`;
  });
  return `${across.join("")}<path class="axis" d="M${left} ${top + plotHeight}h${plotWidth}"/>${down.join("")}
${textAt(left, top - 12, "members that know", { kind: "small" })}
${textAt(left + plotWidth / 2, height - 12, title, { anchor: "middle", kind: "small" })}`;
}

/** A dot is a path of no length with a round end: the shortest there is. */
function drawDots(
  knowers: readonly Knower[],
  times: readonly number[],
  { x }: Scale,
  y: (count: number) => number,
): string {
  const paths = new Map<number, string>();
  knowers.forEach(({ hop }, i) => {
    const group = Math.min(hop, mostHops - 1);
    const path = paths.get(group) ?? "";
    paths.set(group, `${path}M${px(x(times[i] ?? 0))} ${px(y(i + 1))}h0`);
  });
  const size = knowers.length > 400 ? 4 : knowers.length > 120 ? 5 : 7;
  return [...paths]
    .sort(([a], [b]) => a - b)
    .map(([hop, path]) => `<path class="dots hop h${hop}" style="--hop:${hop}" stroke-width="${size}" d="${path}"/>`)
    .join("\n");
}

/** Half and all, each beside its dot where there is room. */
function drawMilestones(times: readonly number[], { x }: Scale, y: (count: number) => number, most: number): string[] {
  const mark = (count: number, text: string): string => {
    const ms = times[count - 1];
    if (ms === undefined) return "";
    const isRight = x(ms) > left + plotWidth * 0.6;
    const at = { x: x(ms) + (isRight ? -12 : 12), y: y(count) + (isRight ? -7 : 16) };
    return textAt(at.x, at.y, `${text} in ${describeMs(ms)}`, {
      anchor: isRight ? "end" : "start",
      kind: "strong halo",
    });
  };
  const half = Math.ceil(most / 2);
  const isSlow = times.length >= 8 && half < times.length;
  return [
    isSlow ? mark(half, "half") : "",
    mark(times.length, times.length === most ? `all ${most}` : `${times.length} of ${most}`),
  ];
}
