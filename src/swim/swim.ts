import type { Random } from "../random.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import type { RecordKind } from "../wire/generated/wire/record-kind.js";
import type { AliveView, MemberRecord } from "../wire/records.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import { Awareness } from "./awareness.js";
import { CatchUp } from "./catch_up.js";
import { ViewDigest } from "./digest.js";
import type { Effects } from "./effects.js";
import { Errands } from "./errand.js";
import { GossipTicks, gossipRound } from "./gossip.js";
import { Hearing } from "./hearing.js";
import { type Accusation, Membership, type MembershipConfig } from "./membership.js";
import type { ProbeEnd } from "./observer.js";
import { Prober, type ProberConfig } from "./prober.js";
import { PushPull } from "./push_pull.js";
import { Quarantine, type QuarantineConfig } from "./quarantine.js";
import { Reconciler } from "./reconcile.js";
import { Reconnect } from "./reconnect.js";
import { Rings } from "./rings.js";
import { Roster } from "./roster.js";
import { RoundTrips } from "./rtt.js";
import type { Self } from "./self.js";
import { isStale } from "./stale.js";
import { type SwimStats, statsOf } from "./stats.js";
import { Suspicions } from "./suspicion.js";
import { Sync } from "./sync.js";
import { UrgentLane } from "./urgent.js";
import { leastToBeDeaf } from "./verdict.js";
import { judgeVersions, VersionVerdict } from "./versions.js";

export interface SwimConfig extends MembershipConfig, ProberConfig, QuarantineConfig {
  readonly gossipIntervalMs: number;
  readonly gossipNodes: number;
  readonly pushPullIntervalMs: number;
  readonly probeTimeoutMs: number;
  readonly probeTimeoutMinMs: number;
  readonly urgentFanout: number;
  readonly awarenessMaxMultiplier: number;
  readonly deafLimitMs: number;
  readonly digestSyncIntervalMs: number;
  readonly reconnectTimeoutMs: number;
}

const never = Number.POSITIVE_INFINITY;

/** How often a node without probes looks for the gone that it may forget. */
const reapIntervalMs = 10_000;

/**
 * The protocol of one node: a dispatcher over its parts. Pure: `now` is an argument, effects leave through one
 * object, one deadline comes out. handle* takes what arrived, advance runs what is due.
 *
 * Due work comes in two kinds. Ordinary work (probe, gossip, sync ticks) runs at its time. Verdicts, which judge
 * others by their silence, run only once everything received before their deadline has been handled: the
 * driver tells by `drainedThroughMs` (ARCHITECTURE 5.1).
 */
export class Swim {
  readonly roster: Roster;
  /** Whether we stay out of the cluster, as our links are bad. */
  readonly quarantine: Quarantine;
  readonly #config: SwimConfig;
  readonly #self: Self;
  readonly #effects: Effects;
  readonly #random: Random;
  readonly #awareness: Awareness;
  readonly #hearing: Hearing;
  readonly #suspicions = new Suspicions();
  readonly #membership: Membership;
  readonly #prober: Prober;
  readonly #errands: Errands;
  /** Our view, to be told and compared. */
  readonly sync: Sync;
  readonly #digest: ViewDigest;
  readonly #catchUp: CatchUp;
  readonly #reconciler: Reconciler;
  readonly #reconnect: Reconnect;
  readonly #pushPull: PushPull;
  readonly #urgent: UrgentLane;
  readonly #gossipTicks: GossipTicks;
  #seq = 0;
  #reapAtMs = never;
  #refusals = 0;
  #syncsFailed = 0;

  /** @param self `handle` and `address` are interned by the caller, who keeps its references. */
  constructor(
    config: SwimConfig,
    self: Pick<Self, "handle" | "address" | "meta"> & { readonly versions?: PackedVersions },
    effects: Effects,
    random: Random,
  ) {
    this.#config = config;
    this.#self = { versions: unknownVersions, ...self, meta: self.meta.slice(), incarnation: 1, isLeaving: false };
    this.#effects = effects;
    this.#random = random;
    this.#gossipTicks = new GossipTicks(config.gossipIntervalMs, effects.broadcasts);
    const rings = new Rings(self.handle, effects.directory);
    this.#digest = new ViewDigest(effects.directory);
    const { directory, streams } = effects;
    this.#reconnect = new Reconnect(config.reconnectTimeoutMs, { directory, streams, random: random.child() });
    const roster = new Roster(directory, random.child(), [rings, this.#digest, this.#reconnect]);
    this.roster = roster;
    this.#urgent = new UrgentLane(config.urgentFanout, rings, roster, effects.datagrams);
    const awareness = (this.#awareness = new Awareness(config.awarenessMaxMultiplier, effects));
    const quietMs = config.suspicionMinMs > 0 ? config.probeTimeoutMs : 0;
    const hearing = (this.#hearing = new Hearing(config.deafLimitMs, quietMs));
    const roundTrips = new RoundTrips(config);
    const nextSeq = (): number => this.takeSeq();
    const quarantine = (this.quarantine = new Quarantine(config, roster));
    const membership = new Membership(config, this.#self, {
      roster,
      awareness,
      hearing,
      roundTrips,
      effects,
      suspicions: this.#suspicions,
      nextSeq,
      urgent: this.#urgent,
      quarantine,
    });
    this.#membership = membership;
    const accuse = (nowMs: number, accusation: Accusation): void => {
      if (!quarantine.isOn) membership.handleSuspect(nowMs, accusation);
    };
    const ended = (atMs: number, how: ProbeEnd, target: MemberHandle): void => {
      if (quarantine.handleProbe(atMs, how, target)) membership.comeBack(atMs);
    };
    const sight = { roster, awareness, hearing, suspicions: this.#suspicions, roundTrips };
    const looks = { self: self.handle, effects, nextSeq, accuse, ended, ...sight };
    this.#prober = new Prober(config, looks, rings);
    this.#errands = new Errands(effects, nextSeq, config.indirectTimeoutMs || config.probeTimeoutMs);
    this.sync = new Sync(self.handle, roster, membership, directory, (member) => this.#askToRefute(member));
    const isAgreed = (): boolean => !quarantine.isOn && this.#reconciler.isAgreed;
    this.#pushPull = new PushPull(config.pushPullIntervalMs, self.handle, roster, streams, isAgreed);
    const views = { self: self.handle, digest: this.#digest, roster, streams, datagrams: effects.datagrams };
    this.#catchUp = new CatchUp(config.digestSyncIntervalMs > 0, views);
    this.#reconciler = new Reconciler(config.digestSyncIntervalMs, config.gossipIntervalMs, views);
  }

  // --- life

  /** Enters itself and starts the periodic tasks, each at a random point of its first interval (M-101). */
  start(nowMs: number): void {
    this.#membership.introduceSelf(nowMs);
    this.#prober.start(nowMs, this.#random);
    this.#reconnect.start(nowMs, this.roster);
    this.#gossipTicks.start(nowMs, this.#random);
    this.#pushPull.start(nowMs, this.#random);
    // Where probes are on, their sweeps forget the gone.
    if (this.#config.probeIntervalMs === 0) this.#reapAtMs = nowMs + reapIntervalMs;
  }

  /** Runs everything due. `drainedThroughMs`: all that was received before has been handled. */
  advance(nowMs: number, drainedThroughMs: number): void {
    this.#prober.judge(nowMs, drainedThroughMs);
    this.#errands.advance(drainedThroughMs);
    if (this.#suspicionAtMs(nowMs) <= drainedThroughMs) this.#membership.advance(nowMs, drainedThroughMs);
    this.#prober.tick(nowMs);
    this.#gossipTick(nowMs);
    this.#pushPull.tick(nowMs);
    if (this.#reapTickAtMs <= nowMs) this.#reapTick(nowMs);
    this.#reconnect.advance(nowMs);
    this.flush(nowMs);
  }

  /** Publishes our digest and forwards urgent news: when all that arrived together was handled, before sending. */
  flush(nowMs: number): void {
    if (this.#digest.isChanged && this.#config.digestSyncIntervalMs > 0) {
      this.#digest.isChanged = false;
      this.#effects.broadcasts.setDigest(this.#digest.low, this.#digest.high);
    }
    this.#urgent.flush(nowMs);
  }

  /** When advance() has something to do next; Infinity when never. */
  nextDeadline(nowMs: number): number {
    const tickAtMs = Math.min(
      this.#prober.nextTickMs(),
      this.#gossipTicks.nextTickMs(nowMs),
      this.#pushPull.nextTickMs(),
      this.#reapTickAtMs,
    );
    return Math.min(tickAtMs, this.#reconnect.nextTickMs(), this.#urgent.nextDeadlineMs(), this.nextVerdict(nowMs));
  }

  /** When the next verdict is due. */
  nextVerdict(nowMs: number): number {
    return Math.min(this.#prober.nextVerdictMs(), this.#errands.nextVerdictMs(), this.#suspicionAtMs(nowMs));
  }

  /** Announces that we leave. The node goes on gossiping until it is stopped. Idempotent. */
  leave(nowMs: number): void {
    if (this.#self.isLeaving) return;
    this.#membership.leave(nowMs);
    this.#prober.stop();
    this.#reconnect.stop();
    this.#pushPull.stop();
    this.#reapAtMs = never;
  }

  /** Whether nobody is left whom the leave still has to reach. */
  isLeaveSpread(): boolean {
    return this.roster.liveCount === 0 || !this.#effects.broadcasts.isQueued(this.#self.handle);
  }

  /** Gives every handle back. Nothing may be called afterwards. */
  stop(): void {
    this.#prober.stop();
    this.#reconnect.stop();
    this.#gossipTicks.stop();
    this.#pushPull.stop();
    this.#reapAtMs = never;
    this.#errands.clear();
    this.roster.clear();
  }

  updateMeta(nowMs: number, meta: Uint8Array): void {
    this.#membership.own.updateMeta(nowMs, meta);
  }

  // --- what arrived

  /** Any authenticated datagram of another member. True when it moves deadlines: until then the member was deaf. */
  handleHeard(atMs: number): boolean {
    return this.#hearing.noteHeard(atMs);
  }

  handlePing(_nowMs: number, _from: MemberHandle, source: AddressHandle, seq: number, answered: boolean): void {
    if (!answered) this.#effects.datagrams.ack(source, seq, true);
  }

  /** Returns the round trip in milliseconds when the probed member itself answered in time, else -1. */
  handleAck(receivedAtMs: number, from: MemberHandle, seq: number): number {
    this.#errands.handleAck(seq);
    this.#membership.handleAck(from, seq);
    return this.#prober.handleAck(receivedAtMs, from, seq);
  }

  handleNack(receivedAtMs: number, from: MemberHandle, seq: number): void {
    this.#prober.handleNack(receivedAtMs, from, seq);
  }

  handlePingRequest(
    nowMs: number,
    requester: AddressHandle,
    target: MemberHandle,
    address: AddressHandle,
    seq: number,
  ): void {
    // E-71: only where we know the member to be ourselves, or anybody could aim our pings at anything.
    const isKnown = this.roster.has(target) && this.roster.addressOf(target) === address;
    this.#errands.handleRequest(nowMs, requester, isKnown ? target : 0, address, seq);
  }

  handleAlive(nowMs: number, subject: MemberHandle, incarnation: number, alive: AliveView): void {
    this.#membership.handleAlive(nowMs, subject, incarnation, alive);
  }

  handleSuspect(
    nowMs: number,
    subject: MemberHandle,
    from: MemberHandle,
    incarnation: number,
    evidence: Evidence,
    ringIndex: number,
  ): void {
    this.#membership.handleSuspect(nowMs, { subject, from, incarnation, evidence, ringIndex });
  }

  handleDeath(
    nowMs: number,
    subject: MemberHandle,
    from: MemberHandle,
    incarnation: number,
    evidence: Evidence,
    ringIndex: number,
  ): void {
    this.#membership.handleDeath(nowMs, { subject, from, incarnation, evidence, ringIndex });
  }

  /** The host at this address said that nobody listens there. */
  handleRefused(nowMs: number, address: AddressHandle): void {
    this.#refusals++;
    const member = this.roster.findByAddress(address);
    if (member === 0 || this.quarantine.isOn) return;
    // Of all who leave at once some are gone before they could tell us: who leaves accuses nobody of it.
    if (this.#self.isLeaving) return this.#errands.handleRefused(member);
    if (this.#config.refusedConfirmations === 0) return this.#prober.handleRefused(nowMs, member);
    const isNews = this.#membership.handleRefused(nowMs, member);
    this.#errands.handleRefused(member);
    if (isNews && this.roster.isLive(member)) this.#prober.askAbout(nowMs, member);
  }

  /** The probed member answered over TCP: alive, but UDP may be blocked (M-108). */
  handleStreamAck(receivedAtMs: number, seq: number): void {
    this.#prober.handleStreamAck(receivedAtMs, seq);
  }

  /** What a ping or an ack said of its sender's view. Whether that is ours. */
  handleDigest(nowMs: number, from: MemberHandle, low: number, high: number): boolean {
    if (!this.quarantine.isOn && !this.#catchUp.handleDigest(nowMs, from, low, high))
      this.#reconciler.handleDigest(nowMs, from, low, high);
    return this.#digest.equals(low, high);
  }

  /** A peer's state, or the part of it that we lacked, from either end of a sync. */
  handleSync(nowMs: number, peerName: string, records: readonly MemberRecord[]): void {
    this.sync.merge(nowMs, peerName, records);
  }

  handleSyncFailed(): void {
    this.#syncsFailed++;
  }

  /**
   * Whether handling this alive, suspect or death would change nothing: two reads, and in a large
   * cluster the answer for almost all gossip. Says no when in doubt.
   */
  isStale(kind: RecordKind, subject: MemberHandle, incarnation: number): boolean {
    return subject !== this.#self.handle && isStale(this.roster, kind, subject, incarnation);
  }

  /** Whether a live member of these versions can be one of ours. */
  fitsVersions(versions: PackedVersions): boolean {
    return judgeVersions(this.#self.versions, versions) === VersionVerdict.compatible;
  }

  /** Whether an alive of a known member names another address than ours of it; 0: one that nobody here has. */
  isElsewhere(subject: MemberHandle, address: AddressHandle): boolean {
    return this.roster.addressOf(subject) !== address;
  }

  // --- what is known

  get selfIncarnation(): number {
    return this.#self.incarnation;
  }

  stats(): SwimStats {
    return statsOf({
      roster: this.roster,
      awareness: this.#awareness,
      prober: this.#prober,
      membership: this.#membership,
      quarantine: this.quarantine,
      errands: this.#errands,
      sync: this.sync,
      catchUp: this.#catchUp,
      reconciler: this.#reconciler,
      reconnect: this.#reconnect,
      syncsFailed: this.#syncsFailed,
      refusals: this.#refusals,
    });
  }

  // --- ticks

  #gossipTick(nowMs: number): void {
    const lagMs = this.#gossipTicks.take(nowMs);
    if (lagMs < 0) return;
    this.#reconciler.noteLag(lagMs);
    this.#awareness.noteLag(lagMs, this.#config.probeTimeoutMs);
    gossipRound(nowMs, this.#self.handle, this.#config, this.roster, this.#effects);
  }

  get #reapTickAtMs(): number {
    return this.roster.size === this.roster.liveCount ? never : this.#reapAtMs;
  }

  #reapTick(nowMs: number): void {
    this.#reapAtMs = nowMs + reapIntervalMs;
    this.roster.forget(nowMs - this.#config.gossipToTheDeadMs);
  }

  // --- deadlines

  /** Real time of the next suspicion to run out; while deaf, when the deafness ends at the latest. */
  #suspicionAtMs(nowMs: number): number {
    const heardMs = this.#suspicions.earliestHeardMs();
    if (heardMs === never || this.quarantine.isOn) return never;
    const atMs = heardMs + this.#hearing.frozenMs(nowMs);
    if (this.roster.liveCount < leastToBeDeaf || !this.#hearing.isDeaf(nowMs)) return atMs;
    return Math.max(atMs, this.#hearing.deafUntilMs());
  }

  #askToRefute(member: MemberHandle): void {
    const [address, incarnation] = [this.roster.addressOf(member), this.roster.incarnationOf(member)];
    this.#effects.datagrams.pingAndAccuse(address, member, this.takeSeq(), incarnation, Evidence.hearsay);
  }

  /** For whatever is answered: also for pings of the application's own, which the core neither sends nor judges. */
  takeSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0 || 1;
    return this.#seq;
  }
}
