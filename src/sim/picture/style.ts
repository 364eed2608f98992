/** Colours differ in lightness as well as in hue, so that they are told apart without red or green. */
export const style = `
:root{color-scheme:light dark;--page:#fbfbf9;--card:#fff;--ink:#1c2430;--dim:#5d6878;--line:#d9dde3;
--field:#f1f2f4;--alive:#a9d5dd;--suspect:#f2b31b;--dead:#a50f3f;--left:#5a5fc0;--gone:#111820;--mark:#111820;
--halo:#fff;--h0:#a50f3f;--h1:#0b3c6f;--h2:#1c6ea4;--h3:#2f9bb0;--h4:#6cbf95;--h5:#b9b83c;--h6:#e08e2e;--h7:#8a5a83;
--sent:#8794a6;--part:#cfd4dd}
@media (prefers-color-scheme:dark){
:root{--page:#0f141b;--card:#171e28;--ink:#e8edf3;--dim:#9aa7b7;--line:#2b3542;--field:#10161e;--alive:#1f5963;
--suspect:#ffd166;--dead:#ff5577;--left:#9aa0ff;--gone:#fff;--mark:#fff;--halo:#0b0f15;--h0:#ff5577;
--h1:#f4f9fd;--h2:#a9d8f5;--h3:#5fb3d9;--h4:#4f9d8b;--h5:#c9c04f;--h6:#f0a04b;--h7:#c792b8;--sent:#66758a;
--part:#3a4656}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.4 system-ui,sans-serif}
main{max-width:1560px;margin:0 auto;padding:14px 24px}
header{display:flex;flex-wrap:wrap;gap:8px 28px;align-items:end;justify-content:space-between}
h1{margin:0;font-size:28px;letter-spacing:-.02em;line-height:1.15}
h2{margin:0;font-size:17px}
header p{margin:3px 0 0;color:var(--dim)}
code{font:13px ui-monospace,monospace}
dl{display:flex;flex-wrap:wrap;gap:6px 26px;margin:0}
dl div{display:flex;flex-direction:column-reverse}
dt{font-size:12.5px;color:var(--dim)}
dd{margin:0;font-size:21px;font-weight:650;font-variant-numeric:tabular-nums}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:9px 14px;margin-top:11px}
.head{display:flex;flex-wrap:wrap;gap:0 24px;align-items:center}
.news{display:grid;grid-template-columns:minmax(0,2.7fr) minmax(0,1fr);gap:4px 18px;align-items:center}
.news>.head{grid-column:1/-1}
@media (max-width:900px){.news{grid-template-columns:minmax(0,1fr)}}
svg{display:block;width:100%;height:auto}
.key svg{width:auto;flex:none}
text{fill:var(--ink);font-size:13px}
.small{font-size:12px;fill:var(--dim)}
.strong{font-weight:650;fill:var(--ink)}
.halo{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:6px 0;font-size:13px}
.key{display:inline-flex;gap:6px;align-items:center}
.dim{color:var(--dim)}
.ramp{display:inline-flex}
.ramp i{width:11px;height:12px}
.ball{width:11px;height:11px;border-radius:50%}
.field{fill:var(--field)}
.states path{fill:none}
.a1,.a2,.a3,.a4{stroke:var(--alive);background:var(--alive)}
.s1,.s2,.s3,.s4{stroke:var(--suspect);background:var(--suspect)}
.d1,.d2,.d3,.d4{stroke:var(--dead);background:var(--dead)}
.l1,.l2,.l3,.l4{stroke:var(--left);background:var(--left)}
.a1,.a2,.a3{opacity:.3}
.a2{opacity:.5}
.a3{opacity:.75}
.s1,.d1,.l1{opacity:.45}
.s2,.d2,.l2{opacity:.62}
.s3,.d3,.l3{opacity:.8}
.gone,.stalled{stroke:var(--gone);fill:none}
.stalled{stroke-dasharray:3 3}
.mark{stroke:var(--mark);stroke-width:2;fill:none;paint-order:stroke;stroke-linejoin:round}
.mark.leave,.mark.start{fill:var(--halo);stroke-width:1.6}
.followed{fill:none;stroke:var(--mark);stroke-width:2}
.partition{fill:var(--part)}
.cut{stroke:var(--mark);stroke-width:1.5}
.heal{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:2 4;fill:none}
.sent{fill:var(--sent)}
.axis,.tick{stroke:var(--dim);fill:none}
.grid{stroke:var(--line)}
.cross{stroke:var(--ink);fill:none;pointer-events:none}
.curve{stroke:var(--dim);stroke-width:1.5;fill:none}
.under{fill:var(--field)}
.dots{stroke-linecap:round;fill:none}
.edges{fill:none;opacity:.65}
.ring{fill:none;stroke:var(--line);stroke-dasharray:2 4}
.origin{fill:var(--card);stroke:var(--mark);stroke-width:2}
.h0{stroke:var(--h0)}
.h1{stroke:var(--h1)}
.h2{stroke:var(--h2)}
.h3{stroke:var(--h3)}
.h4{stroke:var(--h4)}
.h5{stroke:var(--h5)}
.h6{stroke:var(--h6)}
.h7{stroke:var(--h7)}
.ball.h0{background:var(--h0)}
.ball.h1{background:var(--h1)}
.ball.h2{background:var(--h2)}
.ball.h3{background:var(--h3)}
.ball.h4{background:var(--h4)}
.ball.h5{background:var(--h5)}
.ball.h6{background:var(--h6)}
.ball.h7{background:var(--h7)}
.play .hop{animation:appear .45s both;animation-delay:calc(var(--hop)*.7s + .3s)}
@keyframes appear{from{opacity:0}}
button{font:inherit;font-size:13px;color:inherit;background:none;border:1px solid var(--line);border-radius:6px;
padding:2px 12px;cursor:pointer}
#tip{position:fixed;pointer-events:none;background:var(--card);border:1px solid var(--line);border-radius:6px;
padding:6px 9px;font-size:13px;box-shadow:0 3px 12px #0003;white-space:pre-line;max-width:320px}`;

/** Reads a member at a time under the pointer, and plays the news hop by hop. The page is whole without it. */
export const script = `
const data = JSON.parse(document.getElementById("data").textContent);
const [picture, cross, tip] = ["timeline", "cross", "tip"].map((id) => document.getElementById(id));
const { frame, rows } = data;
const last = (list, width, holds) => {
  let at = -1;
  for (let i = 0; i < list.length && holds(list[i]); i += width) at = i;
  return at;
};
const percent = (share) => Math.round((100 * share) / data.levels) + " %";
function describe(row, ms) {
  const [name, runs, truth] = rows[row];
  const part = (ms - data.beginMs) / (data.endMs - data.beginMs);
  const column = Math.min(data.columns - 1, Math.floor(part * data.columns));
  let held = runs[last(runs, 2, (from) => from <= column) + 1] ?? 0;
  const shares = ["alive", "suspect", "dead", "left"].map((state) => {
    const share = held % (2 * data.levels);
    held = Math.floor(held / (2 * data.levels));
    return share > 0 ? state + " to " + percent(share) : "";
  });
  const really = ["running", "stalled", "not running"][truth[last(truth, 2, (from) => from <= ms) + 1] ?? 2];
  const opinion = shares.filter((text) => text !== "").join(", ") || "known to nobody";
  return name + " at " + (ms / 1000).toFixed(3) + " s\\n" + opinion + "\\nreally " + really;
}
picture.addEventListener("pointermove", (event) => {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
  const [x, y] = [(point.x - frame.left) / frame.width, (point.y - frame.top) / frame.height];
  const isInside = x >= 0 && x < 1 && y >= 0 && y < 1;
  tip.hidden = !isInside;
  const across = "M" + frame.left + " " + point.y + "h" + frame.width;
  const down = "M" + point.x + " " + frame.top + "V" + frame.bottom;
  cross.setAttribute("d", isInside ? across + down : "");
  if (!isInside) return;
  tip.textContent = describe(Math.floor(y * rows.length), data.beginMs + x * (data.endMs - data.beginMs));
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
});
picture.addEventListener("pointerleave", () => {
  tip.hidden = true;
  cross.setAttribute("d", "");
});
document.getElementById("play")?.addEventListener("click", ({ target }) => {
  const news = target.closest("section");
  news.classList.remove("play");
  void news.offsetWidth;
  news.classList.add("play");
});`;
