import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type ChaosAgent, ChaosAgents } from "../support/chaos_agents.js";

const agents = new ChaosAgents();
const folder = mkdtempSync(join(tmpdir(), "tattler-resources-"));
afterEach(async () => {
  await agents.clear();
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, content: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), content, { mode: 0o600 });
  return join(folder, name);
}

// --- a full disk

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString("base64");

/** A small disk that only the agent and its children see; it ends with them. */
function onSmallDisk(path: string): string[] {
  const mount = 'mount -t tmpfs -o size=16k,mode=700 tattler "$0" && exec "$@"';
  return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, path];
}

/** The disk of a running agent as we reach it. */
const diskOf = ({ pid }: ChaosAgent, path: string): string => `/proc/${pid}/root${path}`;

function fill(disk: string): void {
  try {
    for (let i = 0; ; i++) writeFileSync(join(disk, `filler-${i}`), Buffer.alloc(1024));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
  }
}

async function reload(agent: ChaosAgent, outcome: RegExp): Promise<void> {
  const before = agent.stderr.length;
  agent.process.kill("SIGHUP");
  await agents.until(
    () => outcome.test(agent.stderr.slice(before)),
    () => `${outcome} in ${agent.stderr}`,
  );
}

function diskTests(): void {
  it("keeps the keyring file as it was, says so, and the node goes on", async () => {
    const disk = join(folder, "disk");
    mkdirSync(disk, { recursive: true });
    const keys = file("keys", `${keyOf(1)}\n`);
    const flags = ["--keyring", join(disk, "ring"), "--passphrase-file", file("passphrase", "correct horse\n")];
    const common = { sealed: false, args: ["--key-file", keys] };
    await agents.start("n0", common);
    await agents.start("n1", {
      ...common,
      args: [...common.args, ...flags],
      place: { bind: "127.0.0.1:0", enter: onSmallDisk(disk) },
    });
    await agents.start("n2", common);
    await agents.agree();
    const keeper = agents.of("n1");
    const seen = diskOf(keeper, disk);
    const ring = readFileSync(join(seen, "ring"));
    fill(seen);

    writeFileSync(keys, `${keyOf(1)}\n${keyOf(2)}\n`);
    await reload(keeper, /the keys stay as they are: .*ring.*ENOSPC/);
    expect(readFileSync(join(seen, "ring"))).toEqual(ring);
    expect(readdirSync(seen).filter((name) => !name.startsWith("filler"))).toEqual(["ring"]);
    await agents.spread(keeper, "still here");
    await agents.agree();

    for (const name of readdirSync(seen)) if (name.startsWith("filler")) rmSync(join(seen, name));
    await reload(keeper, /tattler: keys \w+, \w+ from /);
    expect(readFileSync(join(seen, "ring"))).not.toEqual(ring);
    expect(readdirSync(seen)).toEqual(["ring"]);
    await agents.dismiss(/the keys stay as they are|tattler: keys /);
    expect(agents.failures()).toEqual([]);
  });
}

// --- no descriptors

function limitDescriptors({ pid }: ChaosAgent, limit: number | "as many as before"): void {
  const soft = limit === "as many as before" ? 1024 : limit;
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(pid), `--nofile=${soft}:`], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
}

/** Takes all descriptors that it does not have; what it is told to do then is refused. */
async function refusedWithout(agent: ChaosAgent, command: Record<string, unknown>): Promise<unknown> {
  let answer: { readonly event: string };
  // Again when a stream that was open at the first look has ended since.
  for (let tries = 0; ; tries++) {
    limitDescriptors(agent, nextDescriptor(agent));
    answer = await agent.ask(command);
    if (answer.event !== "done" || tries === 10) return answer;
  }
}

/** The number that the next descriptor gets. */
function nextDescriptor({ pid }: ChaosAgent): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let number = 0;
  while (taken.has(number)) number++;
  return number;
}

describe("file descriptors", () => {
  it("that run out make sends and joins fail clearly; the node stays a member", async () => {
    await agents.startAll(4);
    const poor = agents.of("n1");
    const send = { send: "n2", text: "hello", reliable: true };
    const refused = await refusedWithout(poor, send);
    expect(refused).toMatchObject({ event: "refused", error: expect.stringMatching(/EMFILE|too many open files/) });

    const late = await agents.start("n4", { join: [poor.at] });
    await agents.until(
      () => /next try in/.test(late.stderr),
      () => `a failed join; ${late.stderr}`,
    );
    await agents.holds(() => agents.failures(), 5000);
    await agents.spread(
      poor,
      "still here",
      agents.running.filter((agent) => agent !== late),
    );

    limitDescriptors(poor, "as many as before");
    await agents.agree();
    expect(await poor.ask(send)).toMatchObject({ event: "done" });
    await agents.dismiss(/no address could be joined.*next try in \d+ ms$/);
    expect(agents.failures()).toEqual([]);
  });
});

const mounted = spawnSync("unshare", ["--mount", "true"], { encoding: "utf8" });
if (mounted.status === 0) describe("a full disk", diskTests);
else {
  it(`cannot test a full disk: this machine lets us mount none (${mounted.stderr ?? mounted.error})`, () => {
    expect(spawnSync("unshare", ["--mount", "true"]).status).not.toBe(0);
  });
}
