import type { Held, Recording } from "../recorder.js";

/** A stretch of columns in which a member, or a few that share a row, is held in the same way. */
export interface Run {
  readonly column: number;
  readonly held: Held;
}

/** What a member really does. */
export const Truth = { running: 0, stalled: 1, gone: 2 } as const;
export type Truth = (typeof Truth)[keyof typeof Truth];

export interface Stretch {
  readonly fromMs: number;
  readonly truth: Truth;
}

export interface Row {
  readonly names: readonly string[];
  readonly runs: readonly Run[];
  /** Of the first member that was ever in trouble, or the first. */
  readonly truth: readonly Stretch[];
}

/** The time that is drawn. */
export interface Span {
  readonly beginMs: number;
  readonly endMs: number;
}

/** All of it, but for the rest before the first blow to a cluster that was whole from the start. */
export function spanOf({ isFormed, facts, endMs }: Recording): Span {
  const firstMs = facts.find(({ atMs }) => atMs > 0)?.atMs;
  if (!isFormed || firstMs === undefined) return { beginMs: 0, endMs };
  return { beginMs: Math.max(0, firstMs - (endMs - firstMs) / 8), endMs };
}

const nobody: Held = { atMs: 0, alive: 0, suspect: 0, dead: 0, left: 0 };

/** Members by rows: one each, or a few where there are more than rows, which then show who is worst off. */
export function rowsOf(recording: Recording, span: Span, mostRows: number, columns: number): Row[] {
  const { members, held } = recording;
  const truths = truthsOf(recording);
  const perRow = Math.ceil(members.length / mostRows);
  const count = Math.ceil(members.length / Math.max(1, perRow));
  return Array.from({ length: count }, (_, row) => {
    const indices = members.map((_, i) => i).slice(row * perRow, (row + 1) * perRow);
    const sampled = indices.map((i) => sample(held[i] ?? [], span, columns));
    const names = indices.map((i) => members[i] as string);
    const stories = names.map((name) => truths.get(name) ?? []);
    return {
      names,
      runs: runsOf(sampled, columns),
      truth: stories.find(({ length }) => length > 1) ?? stories[0] ?? [],
    };
  });
}

/** In each column the worst that was there, or else the last: a suspicion of a millisecond shows. */
function sample(history: readonly Held[], { beginMs, endMs }: Span, columns: number): Held[] {
  const sampled: Held[] = [];
  let next = 0;
  let current = nobody;
  for (; (history[next]?.atMs ?? endMs) < beginMs; next++) current = history[next] as Held;
  for (let column = 0; column < columns; column++) {
    let worst = current;
    const untilMs = beginMs + ((column + 1) * (endMs - beginMs)) / columns;
    for (let held = history[next]; held !== undefined && (held.atMs < untilMs || column === columns - 1); ) {
      current = held;
      if (troubleOf(held) >= troubleOf(worst)) worst = held;
      held = history[++next];
    }
    sampled.push(worst);
  }
  return sampled;
}

function runsOf(sampled: readonly (readonly Held[])[], columns: number): Run[] {
  const runs: Run[] = [];
  for (let column = 0; column < columns; column++) {
    let worst = sampled[0]?.[column] ?? nobody;
    for (const member of sampled) {
      const held = member[column] ?? nobody;
      if (troubleOf(held) > troubleOf(worst)) worst = held;
    }
    const last = runs.at(-1)?.held;
    if (last === undefined || !isAlike(last, worst)) runs.push({ column, held: worst });
  }
  return runs;
}

function troubleOf({ suspect, dead, left }: Held): number {
  return suspect + dead + left;
}

function isAlike(a: Held, b: Held): boolean {
  return a.alive === b.alive && a.suspect === b.suspect && a.dead === b.dead && a.left === b.left;
}

function truthsOf({ facts }: Recording): Map<string, Stretch[]> {
  const truths = new Map<string, Stretch[]>();
  for (const { atMs, fact } of facts) {
    const truth = truthAfter(fact.kind);
    if (truth === null || !("node" in fact)) continue;
    let story = truths.get(fact.node);
    if (story === undefined) truths.set(fact.node, (story = []));
    if (story.at(-1)?.truth !== truth) story.push({ fromMs: atMs, truth });
  }
  return truths;
}

function truthAfter(kind: Recording["facts"][number]["fact"]["kind"]): Truth | null {
  switch (kind) {
    case "start":
    case "resume":
      return Truth.running;
    case "stall":
      return Truth.stalled;
    case "close":
      return Truth.gone;
    case "leave":
    case "partition":
    case "cut":
    case "heal":
      return null;
    default:
      return kind satisfies never;
  }
}
