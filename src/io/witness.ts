import type { AccusedMember, Member, MemberStateName } from "../delegates.js";
import type { Directory } from "../swim/effects.js";
import { EventKind } from "../swim/events.js";
import { Outcome } from "../swim/history.js";
import { type ObservedChange, type ObservedSuspicion, type Observer, ProbeEnd, unheardOf } from "../swim/observer.js";
import type { MemberHandle } from "../wire/addon.js";
import type { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { evidenceName } from "./application.js";
import {
  channels,
  type DropMessage,
  type ProbeMessage,
  type StateMessage,
  type SuspicionMessage,
} from "./diagnostics.js";
import type { DropWatch } from "./drops.js";
import type { Log } from "./log.js";
import type { Past } from "./past.js";

export interface WitnessParts {
  readonly node: string;
  readonly self: MemberHandle;
  readonly directory: Pick<Directory, "nameOf" | "retain" | "release">;
  readonly log: Log;
  readonly drops: DropWatch;
  readonly past: Past;
  /** Queues user code for when the core is at rest. */
  readonly later: (call: () => void) => void;
}

/** Between two lines about name conflicts: each datagram of the other one is a conflict. */
const conflictIntervalMs = 10_000;

/**
 * Sees everything that a core does, keeps what history needs, and tells loggers and diagnostics channels. Those are
 * user code, so they are told when the core is at rest; names are read at once, because handles end.
 */
export class Witness implements Observer {
  readonly #parts: WitnessParts;
  #isDeaf = false;
  #conflicts = 0;
  #nextConflictAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: WitnessParts) {
    this.#parts = parts;
  }

  // --- Observer

  probeStarted(target: MemberHandle, health: number): void {
    if (channels.probe.hasSubscribers) this.#publishProbe(target, "started", null, health);
  }

  probeEnded(target: MemberHandle, end: ProbeEnd, rttMs: number, health: number): void {
    const { log } = this.#parts;
    if (channels.probe.hasSubscribers) this.#publishProbe(target, howOf[end], rttMs < 0 ? null : rttMs, health);
    if (log.isSilent) return;
    const member = this.#name(target);
    const fields = rttMs < 0 ? { member, how: howOf[end], health } : { member, how: howOf[end], rttMs, health };
    this.#later(() => log.trace("probe", fields, `probe of ${member}: ${fields.how}`));
    if (end === ProbeEnd.tcp) this.#logBlocked(member);
    if (end !== ProbeEnd.gone) this.#logDeafness(end === ProbeEnd.inconclusive);
  }

  suspected(nowMs: number, suspicion: ObservedSuspicion): void {
    const { log, past } = this.#parts;
    const { subject, from, incarnation, evidence, confirmations, expected, timeoutMs } = suspicion;
    const outcome = confirmations === 0 ? Outcome.suspected : Outcome.confirmed;
    past.note(subject, { atMs: nowMs, by: from, incarnation, evidence, outcome });
    if (log.isSilent && !channels.suspicion.hasSubscribers) return;
    const member = this.#name(subject);
    const kind = confirmations === 0 ? "suspected" : "confirmed";
    const accusation = { accusedBy: this.#name(from), evidence: evidenceName(evidence), incarnation };
    const fields = { member, kind, ...accusation, confirmations, expectedConfirmations: expected, timeoutMs } as const;
    this.#later(() => {
      this.#publishSuspicion(fields);
      log.debug("accusation", fields, `${member} is accused by ${fields.accusedBy} (${fields.evidence})`);
    });
  }

  refuted(nowMs: number, from: MemberHandle, accused: number, evidence: Evidence, incarnation: number): void {
    const { log, node, past, self } = this.#parts;
    past.note(self, { atMs: nowMs, by: from, incarnation: accused, evidence, outcome: Outcome.suspected });
    past.note(self, { atMs: nowMs, by: self, incarnation, evidence, outcome: Outcome.refuted });
    if (log.isSilent && !channels.suspicion.hasSubscribers) return;
    const accusation = { accusedBy: this.#name(from), evidence: evidenceName(evidence) };
    const timing = { confirmations: 0, expectedConfirmations: 0, timeoutMs: 0 };
    this.#later(() => {
      this.#publishSuspicion({ member: node, kind: "refuted", ...accusation, incarnation: accused, ...timing });
      const fields = { ...accusation, accusedIncarnation: accused, incarnation };
      log.warn("refuted", fields, `accused by ${accusation.accusedBy} (${accusation.evidence}); refuted`);
    });
  }

  became(nowMs: number, member: MemberHandle, change: ObservedChange): void {
    this.#noteEnd(nowMs, member, change);
    if (!channels.state.hasSubscribers) return;
    const { before, after, incarnation, by, evidence } = change;
    const message: StateMessage = {
      node: this.#parts.node,
      member: this.#name(member),
      from: before === unheardOf ? null : stateName(before),
      to: stateName(after),
      incarnation,
      why: after === MemberState.alive ? whyAlive(before) : evidenceName(evidence),
      by: this.#name(by),
    };
    this.#later(() => channels.state.publish(message));
  }

  healthChanged(before: number, score: number): void {
    const { log } = this.#parts;
    if (log.isSilent) return;
    this.#later(() => log.debug("health", { health: score, before }, `local health score ${before} -> ${score}`));
  }

  quarantined(isOn: boolean): void {
    const { log } = this.#parts;
    if (log.isSilent) return;
    const begins =
      "other members cannot reach this node, and it cannot reach them: it stays out until its links are good";
    if (isOn) this.#later(() => log.error("quarantine", {}, begins));
    else this.#later(() => log.info("quarantine_over", {}, "the links are good again; back in the cluster"));
  }

  // --- what the host tells

  /** When the application is told. */
  memberEvent(kind: EventKind, detail: Member | AccusedMember): void {
    const { log } = this.#parts;
    if (log.isSilent) return;
    const { name: member, address, incarnation } = detail;
    const accusation = "accusedBy" in detail ? { accusedBy: detail.accusedBy, evidence: detail.evidence } : {};
    const fields = { member, address, incarnation, ...accusation };
    const level = kind === EventKind.fail ? "warn" : "info";
    log[level](`member_${kind}`, fields, `${member} ${saidOf[kind]}`);
  }

  /** Another address claims the name of a member. */
  conflict(nowMs: number, conflict: () => { name: string; address: string; claimedBy: string }): void {
    const { log } = this.#parts;
    if (log.isSilent) return;
    this.#conflicts++;
    if (nowMs < this.#nextConflictAtMs) return;
    const { name, address, claimedBy } = conflict();
    const fields = { member: name, address, claimedBy, claims: this.#conflicts };
    this.#nextConflictAtMs = nowMs + conflictIntervalMs;
    this.#conflicts = 0;
    const message = `${claimedBy} claims to be ${name}, which is ${address}; give every node a name of its own`;
    this.#later(() => log.warn("name_conflict", fields, message));
  }

  /** The core is at rest: sums up drops, if somebody wants to know. */
  settle(): void {
    const { log, node, drops } = this.#parts;
    if (log.isSilent && !channels.drop.hasSubscribers) return;
    const taken = drops.take(performance.now());
    if (taken === null) return;
    if (channels.drop.hasSubscribers) channels.drop.publish({ node, drops: { ...taken } } satisfies DropMessage);
    const list = Object.entries(taken).map(([name, count]) => `${name} ${count}`);
    log.warn("drops", { drops: taken }, `dropped since the last such line: ${list.join(", ")}`);
  }

  #noteEnd(atMs: number, member: MemberHandle, { before, after, incarnation, by, evidence }: ObservedChange): void {
    const { past } = this.#parts;
    // Who was gone when we first heard of it has no history with us.
    if (before === unheardOf || after === MemberState.suspect) return;
    if (after === MemberState.dead) past.note(member, { atMs, by, incarnation, evidence, outcome: Outcome.dead });
    else if (after === MemberState.left)
      past.noteEnd(member, { atMs, by, incarnation, evidence, outcome: Outcome.left });
    else if (before !== MemberState.left)
      past.noteEnd(member, { atMs, by: member, incarnation, evidence, outcome: Outcome.refuted });
  }

  #logBlocked(member: string): void {
    const { log } = this.#parts;
    const message = `${member} answered over TCP and not over UDP: UDP may be blocked between us`;
    this.#later(() => log.warn("udp_blocked", { member }, message));
  }

  #logDeafness(isDeaf: boolean): void {
    if (isDeaf === this.#isDeaf) return;
    this.#isDeaf = isDeaf;
    const { log } = this.#parts;
    const deaf = "nothing is heard from any member; judging nobody until something is";
    if (isDeaf) this.#later(() => log.warn("deaf", {}, deaf));
    else this.#later(() => log.info("hearing", {}, "others are heard again"));
  }

  #publishProbe(target: MemberHandle, how: ProbeMessage["how"], rttMs: number | null, health: number): void {
    const message: ProbeMessage = { node: this.#parts.node, member: this.#name(target), how, rttMs, health };
    this.#later(() => channels.probe.publish(message));
  }

  #publishSuspicion(fields: Omit<SuspicionMessage, "node">): void {
    if (!channels.suspicion.hasSubscribers) return;
    channels.suspicion.publish({ node: this.#parts.node, ...fields } satisfies SuspicionMessage);
  }

  #later(call: () => void): void {
    this.#parts.later(call);
  }

  #name(member: MemberHandle): string {
    return member === 0 ? "" : this.#parts.directory.nameOf(member);
  }
}

const howOf: Record<ProbeEnd, ProbeMessage["how"]> = {
  [ProbeEnd.direct]: "direct",
  [ProbeEnd.indirect]: "indirect",
  [ProbeEnd.tcp]: "tcp",
  [ProbeEnd.failed]: "failed",
  [ProbeEnd.inconclusive]: "inconclusive",
  [ProbeEnd.gone]: "gone",
};

const saidOf: Record<EventKind, string> = {
  join: "joined",
  update: "changed its metadata or versions",
  leave: "left",
  suspect: "is suspected",
  fail: "failed",
  recover: "is back after it was declared dead",
};

function stateName(state: MemberState): MemberStateName {
  return MemberState[state] as MemberStateName;
}

function whyAlive(before: ObservedChange["before"]): StateMessage["why"] {
  if (before === MemberState.suspect) return "refuted";
  if (before === MemberState.dead) return "recovered";
  return before === MemberState.left ? "returned" : "new";
}
