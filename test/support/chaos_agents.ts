/** Agents in processes of their own, to be treated badly. Each test file makes its own and clears them away. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { expect } from "vitest";
import { AgentProcess, cli, type SeenMember } from "./agent.js";

/** Where an agent runs: its address, and the command that puts a process there. */
export interface Place {
  readonly bind: string;
  readonly enter: readonly string[];
}

export interface Extra {
  readonly place?: Place;
  readonly args?: readonly string[];
  /** For Node itself. */
  readonly nodeFlags?: readonly string[];
  readonly env?: Record<string, string>;
  /** False: the arguments bring the keys. */
  readonly sealed?: boolean;
  /** Whom to join; all that run by default. */
  readonly join?: readonly string[];
}

const limitMs = 90_000;
const exitLimitMs = 5000;
const sayAgainMs = 3000;
const loopback: Place = { bind: "127.0.0.1:0", enter: [] };
/** The kernel ends an agent whose test runner was killed. */
const endsWithUs = ["setpriv", "--pdeathsig", "KILL"];

/** `tattler agent` with its defaults: what a user runs. */
export class ChaosAgent extends AgentProcess {
  readonly name: string;
  readonly extra: Extra;
  at = "";
  #asked = 0;

  constructor(name: string, key: string, join: readonly string[], extra: Extra) {
    const { bind, enter } = extra.place ?? loopback;
    const agent = [process.execPath, ...(extra.nodeFlags ?? []), cli, "agent", "--name", name, "--bind", bind];
    const keys = extra.sealed === false ? [] : ["--key", key];
    const flags = [...keys, "--log", "json", "--commands", ...join.flatMap((address) => ["--join", address])];
    const command = [...enter, ...endsWithUs, ...agent, ...flags, ...(extra.args ?? [])];
    super(command as [string, ...string[]], extra.env);
    this.name = name;
    this.extra = extra;
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  async ready(): Promise<this> {
    const ready = (): boolean => this.events.some(({ event }) => event === "ready") || this.process.exitCode !== null;
    await this.until(ready, `${this.name} to be ready`, limitMs);
    this.at = this.events[0]?.member?.address ?? "";
    expect(this.at, `${this.name}: ${this.stderr}`).not.toBe("");
    return this;
  }

  /** What it answers to a command; null when it has not within the limit. */
  async ask(command: object): Promise<{ event: string; error?: string; view?: readonly SeenMember[] }> {
    const id = ++this.#asked;
    const answer = () => this.events.find((event) => event.id === id);
    this.command({ ...command, id });
    await this.until(() => answer() !== undefined, `${this.name} to answer ${JSON.stringify(command)}`, limitMs);
    return answer() as { event: string };
  }

  /** Its members as it answers, one line each, by name. */
  async view(): Promise<string[]> {
    const { view = [] } = await this.ask({ members: true });
    return view.map(({ name, address, state, incarnation }) => `${name} ${address} ${state} ${incarnation}`).sort();
  }

  /** Its members as its events tell them. */
  toldMembers(): string[] {
    const told = new Set([this.name]);
    for (const { event, member } of this.events) {
      if (member !== null && ["join", "recover"].includes(event)) told.add(member.name);
      if (member !== null && ["leave", "fail"].includes(event)) told.delete(member.name);
    }
    return [...told].sort();
  }

  lastTold(about: string): string {
    const kinds = ["join", "recover", "leave", "fail"];
    return (
      this.events.findLast(({ event, member }) => member?.name === about && kinds.includes(event))?.event ?? "none"
    );
  }
}

export class ChaosAgents {
  readonly #running = new Map<string, ChaosAgent>();
  readonly #all: ChaosAgent[] = [];
  readonly key = randomBytes(32).toString("base64");

  get running(): ChaosAgent[] {
    return [...this.#running.values()];
  }

  of(name: string): ChaosAgent {
    const agent = this.#running.get(name);
    if (agent === undefined) throw new Error(`${name} does not run`);
    return agent;
  }

  async start(name: string, extra: Extra = {}): Promise<ChaosAgent> {
    const agent = new ChaosAgent(
      name,
      this.key,
      extra.join ?? this.running.flatMap(({ at }) => (at === "" ? [] : [at])),
      extra,
    );
    this.#all.push(agent);
    this.#running.set(name, agent);
    return agent.ready();
  }

  /** n0, n1 ... one after the other, until all know all. */
  async startAll(count: number, extraOf: (index: number) => Extra = () => ({})): Promise<ChaosAgent[]> {
    for (let index = 0; index < count; index++) await this.start(`n${index}`, extraOf(index));
    await this.agree();
    return this.running;
  }

  /** Ends them at once, without a word. */
  async kill(...names: string[]): Promise<ChaosAgent[]> {
    const victims = names.map((name) => this.of(name));
    for (const name of names) this.#running.delete(name);
    await Promise.all(victims.map((victim) => victim.stop("SIGKILL")));
    return victims;
  }

  /** SIGTERM, and what is promised of it: exit code 0 in less than 5 s. */
  async leave(...names: string[]): Promise<ChaosAgent[]> {
    const leavers = names.map((name) => this.of(name));
    for (const name of names) this.#running.delete(name);
    const ends = leavers.map(async (leaver) => {
      const began = performance.now();
      const code = await leaver.stop("SIGTERM");
      return `${leaver.name}: ${code} ${performance.now() - began < exitLimitMs ? "in time" : "late"}`;
    });
    expect(await Promise.all(ends)).toEqual(names.map((name) => `${name}: 0 in time`));
    return leavers;
  }

  /** Again at the same address, or where it says. */
  restart(agent: ChaosAgent, extra: Extra = {}): Promise<ChaosAgent> {
    const { place = loopback } = agent.extra;
    return this.start(agent.name, { ...agent.extra, place: { ...place, bind: agent.at }, ...extra });
  }

  /** Until this is the last that all the others were told about a member. */
  async told(kinds: string | readonly string[], about: string, observers = this.running): Promise<void> {
    const others = observers.filter(({ name }) => name !== about);
    const open = (): string[] => others.filter((one) => !kinds.includes(one.lastTold(about))).map(({ name }) => name);
    await this.until(
      () => open().length === 0,
      () => `${open()} to be told ${kinds} of ${about}`,
    );
  }

  /** Who reported whom as failed, of all agents that ever ran here. */
  failures(): string[] {
    return this.#all.flatMap(({ name, events }) =>
      events.filter(({ event }) => event === "fail").map(({ member }) => `${name}: ${member?.name}`),
    );
  }

  /** Until all that run have the same view: exactly each other, alive. By their answers and by their events. */
  async agree(): Promise<void> {
    const names = this.running.map(({ name }) => name).sort();
    let last = "nothing";
    const deadline = performance.now() + limitMs;
    while (performance.now() < deadline) {
      const views = await Promise.all(this.running.map((agent) => agent.view()));
      const told = this.running.map((agent) => agent.toldMembers());
      last = JSON.stringify({ views, told });
      const isOne = views.every((view) => JSON.stringify(view) === JSON.stringify(views[0]));
      const isWhole = names.every((name) => views[0]?.some((row) => row.startsWith(`${name} `) && / alive /.test(row)));
      const isTold = told.every((members) => JSON.stringify(members) === JSON.stringify(names));
      if (isOne && isWhole && isTold && views[0]?.length === names.length) return;
      await pause();
    }
    throw new Error(`no agreement of ${names}: ${last}`);
  }

  /** A message of one reaches all others; said again now and then, as gossip may miss one of few by chance. */
  async spread(from: ChaosAgent, text: string, to = this.running): Promise<void> {
    const lacking = (): string[] =>
      to.filter((one) => one !== from && !one.events.some(({ payload }) => payload === text)).map(({ name }) => name);
    let saidAtMs = Number.NEGATIVE_INFINITY;
    const isKnown = (): boolean => {
      if (performance.now() - saidAtMs > sayAgainMs) {
        saidAtMs = performance.now();
        from.command({ broadcast: text });
      }
      return lacking().length === 0;
    };
    await this.until(isKnown, () => `"${text}" to reach ${lacking()}`);
  }

  async until(condition: () => boolean, what: () => string): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what()}\n${this.#logs()}`);
      await pause();
    }
  }

  /** How long a fault lasts: for so long there must be nothing to object to. */
  async holds(objections: () => readonly string[], ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    for (expect(objections()).toEqual([]); performance.now() < deadline; expect(objections()).toEqual([]))
      await pause();
  }

  /** What every test ends with: one view, and all leave in good order with nothing on stderr but what is expected. */
  async dismiss(complaints = /^$/): Promise<void> {
    await this.agree();
    await this.leave(...this.running.map(({ name }) => name));
    const unexpected = this.#all.flatMap(({ name, stderr }) =>
      stderr.split("\n").flatMap((line) => (line === "" || complaints.test(line) ? [] : [`${name}: ${line}`])),
    );
    expect(unexpected).toEqual([]);
    expect(this.#all.filter(({ pid }) => existsSync(`/proc/${pid}`)).map(({ name }) => name)).toEqual([]);
  }

  /** After each test, whatever happened. */
  async clear(): Promise<void> {
    this.#running.clear();
    await Promise.all(this.#all.splice(0).map((agent) => agent.stop("SIGKILL")));
  }

  #logs(): string {
    const notable = /"event":"(join|recover|leave|fail)"/;
    return this.#all
      .map(
        ({ name, lines, stderr }) =>
          `${name}: ${lines
            .filter((line) => notable.test(line))
            .slice(-12)
            .join("\n  ")} ${stderr}`,
      )
      .join("\n");
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
