import type { MemberStateName } from "../delegates.js";
import type { HistoryEntry } from "./past.js";

/** Whom a line is about, as the roster has it. */
export interface Subject {
  readonly name: string;
  /** Null: not on the roster. */
  readonly state: MemberStateName | null;
  /** When it came to that state. */
  readonly since: Date | null;
  /** It was gone when we first heard of it. */
  readonly isHearsay: boolean;
}

/** One line that answers "why was this member declared dead?", or how it is otherwise. */
export function explain(subject: Subject, entries: readonly HistoryEntry[]): string {
  const { name, state, since } = subject;
  switch (state) {
    case "alive":
      return `${name} is alive${explainPast(entries)}`;
    case "suspect":
      return `${name} is suspected since ${timeOf(since)}: ${accusersIn(episodeAt(entries, entries.length))}`;
    case "dead":
      return explainDeath(subject, entries);
    case "left":
      if (subject.isHearsay) return `${name} left by itself, before this node first heard of it`;
      return `${name} left by itself at ${timeOf(since)}`;
    case null:
      return explainForgotten(subject, entries);
    default:
      return state satisfies never;
  }
}

function explainDeath(subject: Subject, entries: readonly HistoryEntry[]): string {
  const { name, since, isHearsay } = subject;
  const last = entries.findLastIndex(({ outcome }) => outcome === "dead");
  const death = entries[last];
  if (death !== undefined) {
    const episode = episodeAt(entries, last);
    const verdict = `declared dead by ${verdictOf(death, episode)}`;
    return `${name} failed at ${timeOf(death.at)}: ${verdict}; ${accusersIn(episode)}`;
  }
  if (isHearsay) return `${name} was dead when this node first heard of it`;
  return `${name} failed at ${timeOf(since)}; who accused it is no longer remembered`;
}

function explainForgotten(subject: Subject, entries: readonly HistoryEntry[]): string {
  const last = entries.at(-1);
  if (last?.outcome === "dead") return `${explainDeath(subject, entries)}; forgotten as a member since`;
  if (last?.outcome === "left") return `${subject.name} left by itself at ${timeOf(last.at)}; forgotten since`;
  return `${subject.name} is unknown to this node`;
}

/** The last accusation of one who is alive. */
function explainPast(entries: readonly HistoryEntry[]): string {
  const end = entries.findLastIndex(({ outcome }) => outcome === "refuted");
  const refutation = entries[end];
  if (refutation === undefined) return "";
  const when = `at ${timeOf(refutation.at)}`;
  const before = entries[end - 1];
  if (before?.outcome === "dead") return `; it was declared dead by ${nameOf(before.by)} and refuted that ${when}`;
  const episode = episodeAt(entries, end);
  return episode.length === 0 ? "" : `; last ${accusersIn(episode, "")}, refuted ${when}`;
}

/** The suspicion that the entry at `end` put an end to: first accuser, then confirmations. */
function episodeAt(entries: readonly HistoryEntry[], end: number): readonly HistoryEntry[] {
  const before = entries.slice(0, end);
  const start = before.findLastIndex(({ outcome }) => outcome !== "confirmed");
  return before[start]?.outcome === "suspected" ? before.slice(start) : [];
}

function verdictOf(death: HistoryEntry, [first]: readonly HistoryEntry[]): string {
  const by = nameOf(death.by);
  if (first === undefined) return by;
  return `${by} after ${((death.at.getTime() - first.at.getTime()) / 1000).toFixed(1)} s of suspicion`;
}

function accusersIn([first, ...rest]: readonly HistoryEntry[], end = ", no refutation"): string {
  if (first === undefined) return "this node had heard no accusation before";
  const confirmed = rest.length === 0 ? "" : `, confirmed by ${rest.map(accuserIn).join(", ")}`;
  return `accused by ${accuserIn(first)}${confirmed}${end}`;
}

function accuserIn({ by, evidence }: HistoryEntry): string {
  return `${nameOf(by)} (${evidence})`;
}

function nameOf(name: string): string {
  return name === "" ? "an unknown member" : name;
}

function timeOf(date: Date | null): string {
  return date?.toISOString() ?? "an unknown time";
}
