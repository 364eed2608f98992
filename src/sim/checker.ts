import type { ObservedChange } from "../swim/observer.js";
import { Counter } from "../wire/generated/wire/counter.js";
import type { SimNode } from "./node.js";
import { backwardStep } from "./precedence.js";
import type { SimEvent, Simulation } from "./simulation.js";

/** A promise that was broken. */
export interface Violation {
  readonly atMs: number;
  readonly rule: string;
  readonly text: string;
}

/** What the user of one node has been told about one member. */
interface Story {
  phase: "absent" | "present" | "failed" | "left";
  incarnation: number;
  changedAtMs: number;
}

export interface CheckerOptions {
  /** How many there are at most. */
  readonly members: number;
  /** Since when a member has been running as it should in a network that lets refutations through; null: it is not. */
  readonly healthySinceMs: (name: string) => number | null;
  /** Healthy for so long, a member should have refuted what was said of it before. */
  readonly graceMs: number;
  /** How long a healthy member may be declared dead before its refutation is through. */
  readonly refutationMs: number;
}

/** More are counted, not kept. */
const mostViolations = 100;

/** Looks on while a simulation runs, and finds what must never be. */
export class Checker {
  readonly violations: Violation[] = [];
  /** All that were found, the unkept included. */
  found = 0;
  /** Healthy members that somebody declared dead, if only for a moment. */
  falseFailures = 0;
  readonly #simulation: Simulation;
  readonly #options: CheckerOptions;
  readonly #stories = new Map<string, Map<string, Story>>();
  readonly #got = new Map<string, Set<string>>();
  readonly #changes = new Map<string, Map<string, ObservedChange>>();
  /** `node member` of every false death that stands, and since when. */
  readonly #falseDeaths = new Map<string, number>();

  constructor(simulation: Simulation, options: CheckerOptions) {
    this.#simulation = simulation;
    this.#options = options;
  }

  /** To be called for every event. */
  handleEvent(event: SimEvent): void {
    if (event.kind === "error") return;
    if (event.kind === "message") return this.#checkMessage(event.node, event.about, event.payload);
    const story = this.#storyOf(event.node, event.about);
    this.#checkOrder(event, story);
    this.#checkIncarnation(event, story);
    this.#checkVerdict(event);
    story.changedAtMs = event.atMs;
  }

  /** To be called for every change of a state. */
  handleState(node: string, member: string, change: ObservedChange): void {
    let changes = this.#changes.get(node);
    if (changes === undefined) this.#changes.set(node, (changes = new Map()));
    const wrong = backwardStep(changes.get(member), change);
    if (wrong !== null) this.#report("precedence", `${node}: ${member} ${wrong}`);
    changes.set(member, change);
  }

  /** A node of this name starts: it has been told nothing. */
  forget(name: string): void {
    this.#changes.delete(name);
    this.#stories.delete(name);
    this.#got.delete(name);
    for (const pair of this.#falseDeaths.keys()) if (pair.startsWith(`${name} `)) this.#falseDeaths.delete(pair);
  }

  /** To be called now and then: what can be seen at any time. */
  check(): void {
    const { nowMs, nodes } = this.#simulation;
    for (const node of nodes) this.#checkBounds(node);
    for (const [pair, sinceMs] of this.#falseDeaths) {
      const [observer = "", member = ""] = pair.split(" ");
      const healthyMs = this.#options.healthySinceMs(member);
      if (healthyMs === null || this.#simulation.node(observer)?.stateOf(member) !== "dead") {
        this.#falseDeaths.delete(pair);
      } else if (nowMs - Math.max(sinceMs, healthyMs) > this.#options.refutationMs) {
        this.#falseDeaths.delete(pair);
        this.#report("false death", `${observer} still takes ${member} for dead, which is healthy`);
      }
    }
  }

  /** Whether every running node knows exactly the running ones, each as it last said of itself. */
  agree(): boolean {
    const { nodes } = this.#simulation;
    return nodes.every((node) => {
      return node.memberCount === nodes.length && nodes.every((other) => knows(node, other));
    });
  }

  /** Who does not know whom, or knows somebody who is not there. */
  disagreements(): string[] {
    const { nodes } = this.#simulation;
    const running = new Set(nodes.map(({ name }) => name));
    return nodes.flatMap((node) => {
      const missing = nodes.filter((other) => !knows(node, other)).map(({ name }) => name);
      const extra = node.memberCount - (running.size - missing.length);
      if (missing.length + extra === 0) return [];
      return [`${node.name} lacks ${missing.join(", ") || "nobody"} and has ${extra} too many`];
    });
  }

  /** Reports what a scenario itself found. */
  report(rule: string, text: string): void {
    this.#report(rule, text);
  }

  #checkOrder({ kind, node, about }: SimEvent, story: Story): void {
    const { phase } = story;
    switch (kind) {
      case "join":
        // Whoever was forgotten after its failure joins anew.
        if (phase === "present") this.#report("order", `${node} was told twice that ${about} joined`);
        story.phase = "present";
        return;
      case "fail":
        if (phase !== "present") this.#report("order", `${node} was told that ${about}, ${phase}, failed`);
        story.phase = "failed";
        return;
      case "leave":
        if (phase === "absent" || phase === "left") {
          this.#report("order", `${node} was told that ${about}, ${phase}, left`);
        }
        story.phase = "left";
        return;
      case "recover":
        if (phase !== "failed") this.#report("order", `${node} was told that ${about}, ${phase}, recovered`);
        story.phase = "present";
        return;
      case "update":
      case "suspect":
        if (phase !== "present") this.#report("order", `${node} was told ${kind} of ${about}, ${phase}`);
        return;
      case "message":
      case "error":
        return;
      default:
        kind satisfies never;
    }
  }

  /** Precedence never runs backwards, but for a name that somebody else took or that was forgotten: that is a join. */
  #checkIncarnation(event: SimEvent, story: Story): void {
    if (event.kind === "message" || event.kind === "error") return;
    const { incarnation, kind, node, about } = event;
    if (incarnation < story.incarnation && kind !== "join") {
      this.#report("precedence", `${node} went from ${about} ${story.incarnation} back to ${incarnation} (${kind})`);
    }
    story.incarnation = incarnation;
  }

  #checkVerdict({ kind, node, about, atMs }: SimEvent): void {
    if (kind !== "fail") return;
    const healthyMs = this.#options.healthySinceMs(about);
    const observerMs = this.#options.healthySinceMs(node);
    if (healthyMs === null || observerMs === null) return;
    if (atMs - Math.max(healthyMs, observerMs) < this.#options.graceMs || !this.#isThere(node, about)) return;
    this.falseFailures++;
    this.#falseDeaths.set(`${node} ${about}`, atMs);
  }

  /**
   * Whether the observer knows the member where it is. Who left and came back elsewhere is somebody else of that name
   * to one who missed the leave, until the old one is found dead and forgotten (M-170).
   */
  #isThere(observer: string, member: string): boolean {
    const [node, about] = [this.#simulation.node(observer), this.#simulation.node(member)];
    return node !== undefined && about !== undefined && node.swim.roster.addressOf(about.self) === about.address;
  }

  #checkMessage(node: string, from: string, payload: Uint8Array): void {
    let got = this.#got.get(node);
    if (got === undefined) this.#got.set(node, (got = new Set()));
    const key = `${from} ${payload}`;
    if (got.has(key)) this.#report("at most once", `${node} got a broadcast of ${from} twice`);
    got.add(key);
  }

  #checkBounds(node: SimNode): void {
    const { endpoint, config } = node;
    if (endpoint.queueDepth() > config.queueRecords)
      this.#report("bounds", `${node.name}'s queue has too many records`);
    if (endpoint.messageDepth() > config.queueRecords) {
      this.#report("bounds", `${node.name}'s queue has too many messages`);
    }
    const { members } = this.#options;
    if (node.swim.roster.size > members) this.#report("bounds", `${node.name} knows more members than there ever were`);
    // Messages have the limit of a hundred members at least.
    const scale = Math.max(this.#got.size > 0 ? 3 : 0, Math.ceil(Math.log10(members + 1)));
    const mostSends = config.retransmitMult * scale + config.urgentFanout;
    const [queued, sent] = [node.counter(Counter.recordsQueued), node.counter(Counter.recordsSent)];
    if (sent > queued * mostSends) this.#report("budget", `${node.name} sent ${sent} records, ${queued} were queued`);
  }

  #storyOf(node: string, about: string): Story {
    let stories = this.#stories.get(node);
    if (stories === undefined) this.#stories.set(node, (stories = new Map()));
    let story = stories.get(about);
    if (story === undefined) stories.set(about, (story = { phase: "absent", incarnation: 0, changedAtMs: 0 }));
    return story;
  }

  #report(rule: string, text: string): void {
    this.found++;
    if (this.violations.length < mostViolations) this.violations.push({ atMs: this.#simulation.nowMs, rule, text });
  }
}

function knows(node: SimNode, other: SimNode): boolean {
  const { roster } = node.swim;
  return isLive(node.stateOf(other.name)) && roster.incarnationOf(other.self) === other.swim.selfIncarnation;
}

function isLive(state: string | null): boolean {
  return state === "alive" || state === "suspect";
}
