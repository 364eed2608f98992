import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Agent } from "../support/agent.js";

const names = ["a", "b", "c", "d", "e"];
const directory = mkdtempSync(join(tmpdir(), "tattler-rotation-"));
const agents: Agent[] = [];

afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.stop("SIGKILL")));
  rmSync(directory, { recursive: true, force: true });
});

const newKey = (): string => randomBytes(32).toString("base64");
const fileOf = (name: string): string => join(directory, `${name}.key`);

function writeKeys(...keys: string[]): void {
  for (const name of names) writeFileSync(fileOf(name), `${keys.join("\n")}\n`, { mode: 0o600 });
}

/** Slow enough that a busy machine takes nobody for dead. */
const patient = ["--set", "probeIntervalMs=2000", "--set", "probeTimeoutMs=1000", "--set", "suspicionMult=4"];

async function startAll(): Promise<void> {
  const seed: string[] = [];
  for (const name of names) {
    const agent = new Agent(["--name", name, "--key-file", fileOf(name), "--commands", ...patient, ...seed]);
    agents.push(agent);
    const address = await agent.address();
    if (seed.length === 0) seed.push("--join", address);
  }
  const isFull = (agent: Agent) => agent.events.filter(({ event }) => event === "join").length >= names.length - 1;
  for (const agent of agents) await agent.until(() => isFull(agent), "four others");
}

/** Each agent reads its file, one after the other, so that every step is mixed for a while. */
async function reload(step: number): Promise<void> {
  for (const agent of agents) {
    agent.process.kill("SIGHUP");
    await agent.until(() => agent.stderr.split("tattler: keys ").length > step, `key reload ${step}`);
  }
}

/** Every agent keeps sending to the next one, both ways, until told to stop; counts what was sent and confirmed. */
class Traffic {
  sent = 0;
  #isDone = false;
  readonly #running: Promise<void>[];

  constructor(label: string) {
    this.#running = agents.map((_, i) => this.#talk(label, i));
  }

  async stop(): Promise<void> {
    this.#isDone = true;
    await Promise.all(this.#running);
  }

  async #talk(label: string, from: number): Promise<void> {
    const agent = agents[from] as Agent;
    const send = names[(from + 1) % names.length];
    for (let n = 0; !this.#isDone; n++) {
      const id = `${label} ${from} ${n}`;
      agent.command({ send, text: `u ${id}`, id: `u ${id}` });
      agent.command({ send, text: `r ${id}`, reliable: true, id });
      await agent.until(() => agent.events.some((event) => event.id === id), `an answer to ${id}`);
      this.sent++;
    }
  }
}

/** What arrived of a label, by way: `u` for unreliable, `r` for reliable. */
function arrived(way: "u" | "r", label: string): string[] {
  const texts = agents.flatMap(({ events }) =>
    events.map(({ event, payload }) => (event === "message" ? payload : "")),
  );
  return texts.filter((text): text is string => text?.startsWith(`${way} ${label} `) === true);
}

describe("three full rotations under traffic, with five agents", () => {
  it("lose no reliable message, and no more datagrams than no rotation", async () => {
    let key = newKey();
    writeKeys(key);
    await startAll();

    const quiet = new Traffic("quiet");
    await agents[0]?.until(() => quiet.sent > 100, "traffic without rotation");
    await quiet.stop();

    const rotating = new Traffic("rotating");
    let step = 0;
    for (let turn = 0; turn < 3; turn++) {
      const next = newKey();
      for (const keys of [[key, next], [next, key], [next]]) {
        const before = rotating.sent;
        writeKeys(...keys);
        await reload(++step);
        await agents[0]?.until(() => rotating.sent > before + 10, "traffic after a step");
      }
      key = next;
    }
    await rotating.stop();

    for (const [label, { sent }] of [
      ["quiet", quiet],
      ["rotating", rotating],
    ] as const) {
      const first = agents[0] as Agent;
      const isAll = (): boolean => (["u", "r"] as const).every((way) => arrived(way, label).length >= sent);
      await first.until(isAll, `all ${sent} messages of the ${label} run, both ways`);
      for (const way of ["u", "r"] as const) {
        expect([label, way, arrived(way, label).length]).toEqual([label, way, sent]);
        expect(new Set(arrived(way, label)).size).toBe(sent);
      }
    }
    const kinds = agents.flatMap(({ events }) => events.map(({ event }) => event));
    expect(kinds.filter((kind) => ["refused", "fail", "leave"].includes(kind))).toEqual([]);
    await Promise.all(agents.map((agent) => agent.stop("SIGTERM")));
    for (const { events } of agents) {
      const { dropUnknownKey, dropUnsealable } = events.at(-1)?.stats ?? {};
      expect([dropUnknownKey, dropUnsealable]).toEqual([0, 0]);
    }
  });

  it("survive a file that makes no sense: the keys stay as they are", async () => {
    const key = newKey();
    rmSync(directory, { recursive: true, force: true });
    const own = mkdtempSync(join(tmpdir(), "tattler-rotation-"));
    const file = join(own, "key");
    writeFileSync(file, `${key}\n`, { mode: 0o600 });
    const agent = new Agent(["--name", "a", "--key-file", file]);
    agents.push(agent);
    await agent.address();
    for (const content of ["no key at all!", "c2hvcnQ=\n", ""]) {
      writeFileSync(file, content);
      const before = agent.stderr.length;
      agent.process.kill("SIGHUP");
      await agent.until(() => agent.stderr.slice(before).includes("the keys stay as they are"), "a complaint");
      expect(agent.stderr).not.toContain(content.trim() || "\0");
    }
    expect(await agent.stop("SIGTERM")).toBe(0);
    rmSync(own, { recursive: true });
  });
});
