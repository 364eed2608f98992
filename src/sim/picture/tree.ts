import type { Wave } from "../recorder.js";
import { mostHops } from "./curve.js";
import { drawing, px, textAt } from "./svg.js";
import type { Knower } from "./wave.js";

const size = 420;
const centre = size / 2;
const radius = 186;

interface Place {
  readonly angle: number;
  readonly ring: number;
}

/** Who told whom, from the middle outwards: a ring is a hop. */
export function drawTree(wave: Wave, knowers: readonly Knower[]): string {
  const places = placesOf(wave, knowers);
  const rings = Math.max(1, ...places.map(({ ring }) => ring));
  const step = radius / rings;
  const at = ({ angle, ring }: Place): string => {
    const r = ring * step;
    return `${px(centre + r * Math.cos(angle))} ${px(centre + r * Math.sin(angle))}`;
  };
  const circles = Array.from({ length: rings }, (_, i) => {
    return `<circle class="ring" cx="${centre}" cy="${centre}" r="${px((i + 1) * step)}"/>`;
  });
  const edges = new Map<number, string>();
  const dots = new Map<number, string>();
  knowers.forEach(({ hop, teller }, i) => {
    const group = Math.min(hop, mostHops - 1);
    const place = places[i] as Place;
    const from = teller === null ? null : (places[teller] as Place);
    const path = `M${from === null ? `${centre} ${centre}` : at(from)}${bend(from, place, at)}`;
    edges.set(group, (edges.get(group) ?? "") + path);
    dots.set(group, `${dots.get(group) ?? ""}M${at(place)}h0`);
  });
  const dot = knowers.length > 800 ? 3 : knowers.length > 200 ? 4.5 : 7;
  const thin = knowers.length > 800 ? 0.5 : knowers.length > 200 ? 0.8 : 1.3;
  const groups = [...edges]
    .sort(([a], [b]) => a - b)
    .map(([hop, path]) => {
      const lines = `<path class="edges" stroke-width="${thin}" d="${path}"/>`;
      const ends = `<path class="dots" stroke-width="${dot}" d="${dots.get(hop)}"/>`;
      return `<g class="hop h${hop}" style="--hop:${hop}">${lines}${ends}</g>`;
    });
  const name = wave.member.length > 8 ? `${wave.member.slice(0, 7)}…` : wave.member;
  const middle = [
    `<circle class="origin" cx="${centre}" cy="${centre}" r="17"/>`,
    textAt(centre, centre + 4, name, { anchor: "middle", kind: "small strong" }),
  ];
  return drawing(size, size, "Who told whom", [...circles, ...groups, ...middle]);
}

/** Along the radii; straight where that would lead around the middle. */
function bend(from: Place | null, to: Place, at: (place: Place) => string): string {
  if (from === null || Math.abs(from.angle - to.angle) > Math.PI / 3) return `L${at(to)}`;
  const ring = (from.ring + to.ring) / 2;
  return `C${at({ angle: from.angle, ring })} ${at({ angle: to.angle, ring })} ${at(to)}`;
}

/** Everybody has as much of its ring as those that it told need. */
function placesOf(wave: Wave, knowers: readonly Knower[]): Place[] {
  const told: number[][] = knowers.map(() => []);
  const roots: number[] = [];
  knowers.forEach(({ teller }, i) => {
    if (teller === null) roots.push(i);
    else told[teller]?.push(i);
  });
  const leaves = knowers.map(() => 1);
  // Whoever is told stands behind its teller.
  for (let i = knowers.length - 1; i >= 0; i--) {
    const sum = (told[i] ?? []).reduce((total, child) => total + (leaves[child] ?? 1), 0);
    leaves[i] = Math.max(1, sum);
  }
  const places: Place[] = [];
  const begins: number[] = [];
  const all = roots.reduce((sum, root) => sum + (leaves[root] ?? 1), 0);
  const spread = (children: readonly number[], from: number): void => {
    let angle = from;
    for (const child of children) {
      begins[child] = angle;
      angle += (2 * Math.PI * (leaves[child] ?? 1)) / Math.max(1, all);
    }
  };
  spread(roots, -Math.PI / 2);
  const firstRing = wave.kind === "crash" ? 1 : 0;
  knowers.forEach(({ hop }, i) => {
    const begin = begins[i] ?? 0;
    const angle = begin + (Math.PI * (leaves[i] ?? 1)) / Math.max(1, all);
    places.push({ angle, ring: Math.max(1, hop + firstRing) });
    spread(told[i] ?? [], begin);
  });
  return places;
}
