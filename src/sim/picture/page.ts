import type { Recording, Wave } from "../recorder.js";
import { drawCurve, mostHops } from "./curve.js";
import { script, style } from "./style.js";
import { describeMs, escapeText } from "./svg.js";
import { drawTimeline, timelineLegend } from "./timeline.js";
import { drawTree } from "./tree.js";
import { chooseWave, type Knower, knowersOf } from "./wave.js";

/** No network, whatever a name says. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

export interface Figure {
  readonly name: string;
  readonly value: string;
}

/** What stands above a picture. */
export interface Caption {
  readonly title: string;
  /** Seed, loss, and what else makes it the run that it is. */
  readonly about: readonly string[];
  readonly traceHash: string;
  readonly figures: readonly Figure[];
}

/** A whole page as text, with nothing outside of it: the same for the same run. */
export function drawPage(recording: Recording, { title, about, traceHash, figures }: Caption): string {
  const wave = chooseWave(recording);
  const timeline = drawTimeline(recording, wave);
  const list = figures.map(({ name, value }) => {
    return `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd></div>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<header><div><h1>${escapeText(title)}</h1>
<p>${about.map(escapeText).join(" · ")} · trace <code>${escapeText(traceHash)}</code></p></div>
<dl>${list.join("")}</dl></header>
<section><div class="head"><h2>Every member, as the others see it</h2>
${timelineLegend(timeline)}</div>
${timeline.svg}</section>
${wave === null ? quiet : drawNews(wave)}
</main>
<div id="tip" hidden></div>
<script type="application/json" id="data">${timeline.data}</script>
<script>${script}</script>
</body>
</html>
`;
}

const quiet =
  '<section><h2>No news</h2><p class="dim">Nothing befell a member that others had to be told of.</p></section>';

function drawNews(wave: Wave): string {
  const knowers = knowersOf(wave);
  return `<section class="news"><div class="head"><h2>How the others learnt ${headline(wave)}</h2>
${newsLegend(wave, knowers)}</div>
${drawCurve(wave, knowers)}
${drawTree(wave, knowers)}</section>`;
}

function headline({ kind, member, atMs, others, learnt }: Wave): string {
  const name = escapeText(member);
  const what = { crash: `that ${name} crashed`, leave: `that ${name} left`, join: `that ${name} joined` }[kind];
  const missed = others - learnt.length;
  const rest = missed > 0 ? `; ${missed} of ${others} were never told` : "";
  return `${what}, at ${describeMs(atMs)}${rest}`;
}

function newsLegend({ kind }: Wave, knowers: readonly Knower[]): string {
  const hops = [...new Set(knowers.map(({ hop }) => Math.min(hop, mostHops - 1)))].sort((a, b) => a - b);
  const keys = hops.map((hop) => {
    const isLast = hop === mostHops - 1;
    const count = knowers.filter((knower) => Math.min(knower.hop, mostHops - 1) === hop).length;
    return `<span class="key"><i class="ball h${hop}"></i>${hopName(kind, hop, isLast)} (${count})</span>`;
  });
  return `<p class="legend">${keys.join("")}<span class="key dim">right: who told whom</span>
<button id="play" type="button">Play</button></p>`;
}

function hopName(kind: Wave["kind"], hop: number, isLast: boolean): string {
  if (hop === 0) return kind === "crash" ? "found out itself" : "by itself";
  if (hop === 1 && kind !== "crash") return "told by the member itself";
  return `hop ${hop}${isLast ? " and later" : ""}`;
}
