import { binMs, type Dated, type Held, levels, type Recording, type Wave } from "../recorder.js";
import { type Row, rowsOf, type Span, spanOf, Truth } from "./rows.js";
import { drawing, px, textAt, ticksBetween, widthOf } from "./svg.js";

const [width, left, right] = [1500, 78, 14];
/** Of the network, of the members, of the datagrams, of the axis; from the top. */
const [laneTop, plotTop, plotHeight, sentGap, sentHeight, axisHeight] = [2, 26, 330, 16, 44, 34];
const plotWidth = width - left - right;
const sentTop = plotTop + plotHeight + sentGap;
const height = sentTop + sentHeight + axisHeight;
const mostRows = 330;
const mostBytes = 700_000;
/** Pixels of a row in which not all is well. */
const thinnest = 2.6;

export interface Timeline {
  readonly svg: string;
  /** What a pointer reads: JSON. */
  readonly data: string;
  readonly membersPerRow: number;
}

/** Members over time, as the others hold them, with what really happened, and the datagrams of it all. */
export function drawTimeline(recording: Recording, followed: Wave | null): Timeline {
  const span = spanOf(recording);
  // Where so much happens that the page would be large, a column is longer.
  for (let columns = 1200; ; columns /= 2) {
    const rows = rowsOf(recording, span, mostRows, columns);
    const data = readingsOf(rows, span, columns);
    const states = drawStates(rows, columns);
    if (data.length + states.length > mostBytes && columns > 100) continue;
    const parts = [
      drawLabels(rows),
      states,
      drawTruth(rows, span),
      drawNetwork(recording, span),
      drawEvents(rows, recording.facts, followed, span),
      drawSent(recording, span),
      drawAxis(span),
      `<path class="cross" id="cross" d=""/>`,
    ];
    const svg = drawing(width, height, "States of all members over time", parts, "timeline");
    return { svg, data, membersPerRow: rows[0]?.names.length ?? 1 };
  }
}

/** How a member is held, as a class of the style sheet: what most of those say that do not say alive. */
export function shadeOf({ alive, suspect, dead, left: gone }: Held): string | null {
  const most = Math.max(suspect, dead, gone);
  const state = most === 0 ? "a" : most === dead ? "d" : most === gone ? "l" : "s";
  const share = most === 0 ? alive : most;
  if (share === 0) return null;
  return `${state}${share === levels ? 4 : Math.ceil((3 * share) / levels)}`;
}

function drawStates(rows: readonly Row[], columns: number): string {
  const paths = new Map<string, string[]>();
  rows.forEach(({ runs }, y) => {
    let [last, from] = [null as string | null, 0];
    const end = (column: number): void => {
      if (last === null) return;
      const path = paths.get(last) ?? [];
      paths.set(last, path);
      path.push(`M${from} ${y}h${column - from}`);
    };
    for (const { column, held } of runs) {
      const shade = shadeOf(held);
      if (shade === last) continue;
      end(column);
      [last, from] = [shade, column];
    }
    end(columns);
  });
  const [scaleX, scaleY] = [plotWidth / columns, plotHeight / Math.max(1, rows.length)];
  // One row of many must be seen from the last seat.
  const thick = px(Math.max(1, thinnest / scaleY));
  const drawn = [...paths]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([shade, path]) => {
      const thickness = shade.startsWith("a") ? 1.04 : thick;
      return `<path class="${shade}" stroke-width="${thickness}" d="${path.join("")}"/>`;
    });
  const transform = `translate(${left} ${plotTop}) scale(${scaleX} ${scaleY}) translate(0 .5)`;
  return `<rect class="field" x="${left}" y="${plotTop}" width="${plotWidth}" height="${plotHeight}"/>
<g class="states" transform="${transform}">${drawn.join("\n")}</g>`;
}

/** Thin lines through rows: whoever is really gone, or stands still. */
function drawTruth(rows: readonly Row[], span: Span): string {
  const paths: Record<"gone" | "stalled", string> = { gone: "", stalled: "" };
  rows.forEach(({ truth }, row) => {
    truth.forEach(({ fromMs, truth: what }, i) => {
      if (what === Truth.running) return;
      const [x, until] = [xOf(fromMs, span), xOf(truth[i + 1]?.fromMs ?? span.endMs, span)];
      paths[what === Truth.gone ? "gone" : "stalled"] += `M${px(x)} ${px(yOf(row, rows))}H${px(until)}`;
    });
  });
  const thickness = Math.min(2.2, Math.max(0.4, (0.28 * plotHeight) / Math.max(1, rows.length)));
  return Object.entries(paths)
    .filter(([, path]) => path !== "")
    .map(([kind, path]) => `<path class="${kind}" stroke-width="${px(thickness)}" d="${path}"/>`)
    .join("");
}

function drawLabels(rows: readonly Row[]): string {
  const every = Math.ceil((16 * rows.length) / plotHeight);
  const step = [1, 2, 5, 10, 20, 25, 50, 100].find((size) => size >= every) ?? every;
  return rows.map(({ names }, row) => (row % step === 0 ? labelOf(names[0] ?? "", yOf(row, rows) + 4) : "")).join("");
}

function labelOf(name: string, y: number): string {
  return textAt(left - 8, y, name.length > 10 ? `${name.slice(0, 9)}…` : name, { anchor: "end", kind: "small" });
}

/** Partitions and cuts above the members; the end of all faults through them. */
function drawNetwork({ facts, endMs }: Recording, span: Span): string {
  const drawn: string[] = [];
  let since: { readonly atMs: number; readonly parts: number } | null = null;
  const close = (atMs: number): void => {
    if (since === null) return;
    const [x, until] = [xOf(since.atMs, span), xOf(atMs, span)];
    const text = `partition in ${since.parts}`;
    const isWide = until - x > widthOf(text) + 8;
    drawn.push(
      `<rect class="partition" x="${px(x)}" y="${laneTop}" width="${px(until - x)}" height="18"/>`,
      isWide ? textAt((x + until) / 2, laneTop + 13, text, { anchor: "middle", kind: "small strong" }) : "",
    );
    since = null;
  };
  for (const { atMs, fact } of facts) {
    const x = px(xOf(atMs, span));
    if (fact.kind === "partition" || fact.kind === "heal") close(atMs);
    if (fact.kind === "partition" && fact.parts > 0) since = { atMs, parts: fact.parts };
    if (fact.kind === "cut") drawn.push(`<path class="cut" d="M${x} ${laneTop}v18"/>`);
    if (fact.kind === "heal") drawn.push(`<path class="heal" d="M${x} ${laneTop}V${plotTop + plotHeight}"/>`);
  }
  close(endMs);
  if (drawn.length > 0) drawn.push(textAt(left - 8, laneTop + 13, "network", { anchor: "end", kind: "small" }));
  return drawn.join("");
}

/** Crashes, leaves and restarts at their members; one mark where many would lie on each other. */
function drawEvents(rows: readonly Row[], facts: readonly Dated[], followed: Wave | null, span: Span): string {
  const rowOf = new Map(rows.flatMap(({ names }, row) => names.map((name) => [name, row] as const)));
  const leaving = new Set<string>();
  const taken = new Set<string>();
  const paths: Record<string, string> = { crash: "", leave: "", start: "" };
  for (const { atMs, fact } of facts) {
    if (!("node" in fact)) continue;
    if (fact.kind === "leave") leaving.add(fact.node);
    if (fact.kind === "start") leaving.delete(fact.node);
    const mark = fact.kind === "close" && !leaving.has(fact.node) ? "crash" : fact.kind;
    if (!(mark in paths) || atMs === 0) continue;
    const [x, y] = [xOf(atMs, span), yOf(rowOf.get(fact.node) ?? 0, rows)];
    const cell = `${mark} ${Math.round(x / 8)} ${Math.round(y / 8)}`;
    if (taken.has(cell)) continue;
    taken.add(cell);
    paths[mark] += shapeOf(mark, x, y);
  }
  const drawn = Object.entries(paths).filter(([, path]) => path !== "");
  const marks = drawn.map(([mark, path]) => `<path class="mark ${mark}" d="${path}"/>`);
  if (followed !== null) {
    const [x, y] = [xOf(followed.atMs, span), yOf(rowOf.get(followed.member) ?? 0, rows)];
    marks.push(`<circle class="followed" cx="${px(x)}" cy="${px(y)}" r="10"/>`);
  }
  return marks.join("");
}

/** Also for the legend. */
export function shapeOf(mark: string, x: number, y: number): string {
  const at = `M${px(x)} ${px(y)}`;
  if (mark === "crash") return `${at}m-4 -4l8 8m0 -8l-8 8`;
  if (mark === "leave") return `${at}m0 -5l5 5l-5 5l-5 -5z`;
  return `${at}m0 -5l5 9h-10z`;
}

function drawSent({ sent, members }: Recording, span: Span): string {
  const perBin = Math.max(1, Math.ceil((span.endMs - span.beginMs) / binMs / 360));
  const rates: number[] = [];
  const ends: number[] = [];
  const firstBin = Math.floor(span.beginMs / binMs);
  for (let at = firstBin; at * binMs < span.endMs; at += perBin) {
    const endsMs = Math.min((at + perBin) * binMs, span.endMs);
    const count = sent.slice(at, at + perBin).reduce((sum, one) => sum + one, 0);
    rates.push(count / members.length / ((endsMs - at * binMs) / 1000));
    ends.push(endsMs);
  }
  const most = Math.max(1, ...rates);
  const y = (rate: number): string => px(sentTop + sentHeight * (1 - rate / most));
  const steps = rates.map((rate, i) => `V${y(rate)}H${px(xOf(ends[i] ?? 0, span))}`);
  return `<path class="sent" d="M${left} ${sentTop + sentHeight}${steps.join("")}V${sentTop + sentHeight}z"/>
${textAt(left - 8, sentTop + 10, `${Math.round(most)} / s`, { anchor: "end", kind: "small" })}
${textAt(left - 8, sentTop + sentHeight, "0", { anchor: "end", kind: "small" })}
${textAt(left + 4, sentTop - 4, "datagrams sent by a member, per second", { kind: "small" })}`;
}

function drawAxis(span: Span): string {
  const y = sentTop + sentHeight;
  const { beginMs, endMs } = span;
  const ticks = ticksBetween(beginMs / 1000, endMs / 1000, 12).map((at) => {
    const x = xOf(at * 1000, span);
    const anchor = x > left + plotWidth - 12 ? "end" : "middle";
    return `<path class="tick" d="M${px(x)} ${y}v5"/>${textAt(x, y + 17, String(at), { anchor, kind: "small" })}`;
  });
  const title = textAt(left + plotWidth / 2, y + 31, "virtual time in seconds", { anchor: "middle", kind: "small" });
  return `<path class="axis" d="M${left} ${y}h${plotWidth}"/>${ticks.join("")}${title}`;
}

/** By row its names, its runs (column, then how it is held in one number) and what it really does. */
function readingsOf(rows: readonly Row[], span: Span, columns: number): string {
  const listed = rows.map(({ names, runs, truth }) => [
    names.length === 1 ? names[0] : `${names[0]} to ${names.at(-1)}, the worst off`,
    runs.flatMap(({ column, held }) => [column, packed(held)]),
    truth.flatMap(({ fromMs, truth: what }) => [Math.round(fromMs), what]),
  ]);
  const frame = { left, top: plotTop, width: plotWidth, height: plotHeight, bottom: sentTop + sentHeight };
  // A name must not end the script that it is in.
  return JSON.stringify({ frame, ...span, columns, levels, rows: listed }).replace(/</g, "\\u003c");
}

function packed({ alive, suspect, dead, left: gone }: Held): number {
  const radix = levels * 2;
  return alive + radix * (suspect + radix * (dead + radix * gone));
}

function xOf(atMs: number, { beginMs, endMs }: Span): number {
  return left + (plotWidth * Math.max(0, atMs - beginMs)) / Math.max(1, endMs - beginMs);
}

function yOf(row: number, rows: readonly Row[]): number {
  return plotTop + (plotHeight * (row + 0.5)) / Math.max(1, rows.length);
}

/** What the marks and colours mean, of those that the picture has. */
export function timelineLegend({ svg, membersPerRow }: Timeline): string {
  const has = (kind: string): boolean => svg.includes(`class="${kind}`);
  const ramp = (state: string, name: string): string => {
    const shades = [1, 2, 3, 4].map((strength) => `${state}${strength}`);
    const cells = shades.map((shade) => `<i class="${shade}"></i>`).join("");
    return shades.some(has) ? `<span class="key"><b class="ramp">${cells}</b>${name}</span>` : "";
  };
  const sample = (kind: string, path: string, size: number, name: string): string => {
    const drawn = `<svg width="${size}" height="14" aria-hidden="true"><path class="${kind}" d="${path}"/></svg>`;
    return has(kind) ? `<span class="key">${drawn}${name}</span>` : "";
  };
  const mark = (kind: string, name: string): string => sample(`mark ${kind}`, shapeOf(kind, 7, 7), 14, name);
  const keys = [
    `<span class="key dim">held by few → by all others as</span>`,
    ...[ramp("a", "alive"), ramp("s", "suspect"), ramp("d", "dead"), ramp("l", "left")],
    has("mark") || has("heal") ? `<span class="key dim">what really happened</span>` : "",
    ...[mark("crash", "crash"), mark("leave", "leave"), mark("start", "restart")],
    ...[sample("gone", "M0 7h22", 22, "not running"), sample("stalled", "M0 7h22", 22, "stalled")],
    ...[sample("cut", "M3 0v14", 6, "one-way cut"), sample("heal", "M3 0v14", 6, "faults end")],
    membersPerRow > 1 ? `<span class="key dim">${membersPerRow} members a row, the worst off shows</span>` : "",
  ];
  return `<p class="legend">${keys.join("\n")}</p>`;
}
