import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { resolveConfig } from "../src/config.js";
import { NodeKeyring } from "../src/keyring.js";
import type { GossipNode } from "../src/node.js";
import { bytes, closeAfterEach, errorOf, newNode, sharedKey, until, Watch } from "./support/nodes.js";

closeAfterEach();

const snapshotProgram = new URL("support/heap_snapshot.mjs", import.meta.url).pathname;

const newKey = (length = 32): Uint8Array => new Uint8Array(randomBytes(length));
const ids = (node: GossipNode): string[] => node.keyring.list().map(({ id }) => id);

describe("the keyring (M-195 to M-199, T-055)", () => {
  it("has the given keys, the first of them primary, and shows ids only", async () => {
    const node = await newNode("a", { keys: [newKey(16), newKey(24), newKey(32)] });
    const list = node.keyring.list();
    expect(list.map(({ primary }) => primary)).toEqual([true, false, false]);
    for (const info of list) expect(Object.keys(info)).toEqual(["id", "primary"]);
    for (const { id } of list) expect(id).toMatch(/^[0-9a-f]{8}$/);
    expect(new Set(ids(node)).size).toBe(3);
  });

  it("adds, uses and removes, by key and by id", async () => {
    const node = await newNode("a", { keys: [sharedKey] });
    const [first] = ids(node) as [string];
    const key = newKey(16);
    const second = await node.keyring.add(key);
    expect(ids(node)).toEqual([first, second]);
    expect(await node.keyring.add(key)).toBe(second);
    await node.keyring.use(key);
    expect(ids(node)).toEqual([second, first]);
    await node.keyring.use(first.toUpperCase());
    expect(ids(node)).toEqual([first, second]);
    expect(await node.keyring.remove(key)).toBe(true);
    expect(await node.keyring.remove(second)).toBe(false);
    expect(ids(node)).toEqual([first]);
  });

  it("refuses what would leave the node without a key to seal with, and says what to do", async () => {
    const node = await newNode("a", { keys: [sharedKey] });
    const [first] = ids(node) as [string];
    const codes = [
      (await errorOf(() => node.keyring.use("00000000"))).code,
      (await errorOf(() => node.keyring.remove(first))).code,
      (await errorOf(() => node.keyring.add(newKey(17)))).code,
      (await errorOf(() => node.keyring.add("text" as never))).code,
      (await errorOf(() => node.keyring.use("not an id"))).code,
    ];
    const invalid = "TATTLER_KEY_INVALID";
    expect(codes).toEqual(["TATTLER_KEY_UNKNOWN", "TATTLER_KEY_PRIMARY", invalid, invalid, invalid]);
    expect(ids(node)).toEqual([first]);
  });

  it("stays off on a node that was created without keys", async () => {
    const node = await newNode("a", { keys: [] });
    expect(node.keyring.list()).toEqual([]);
    const error = await errorOf(() => node.keyring.add(newKey()));
    expect([error.code, error.remedy.includes("verifyIncoming")]).toEqual(["TATTLER_KEYRING_OFF", true]);
  });

  it("takes changes one after the other, and keys that the caller wipes at once", async () => {
    const node = await newNode("a", { keys: [sharedKey] });
    const keys = Array.from({ length: 20 }, () => newKey());
    const copies = keys.map((key) => new Uint8Array(key));
    const added = keys.map((key) => node.keyring.add(key));
    for (const key of keys) key.fill(0);
    const got = await Promise.all(added);
    await Promise.all(copies.map((key) => node.keyring.use(key)));
    expect(ids(node).slice(0, 20)).toEqual(got.reverse());
  });
});

describe("rotation under traffic", () => {
  it.each(["linux", "posix"] as const)("loses no packet on the %s back end", async (backend) => {
    const patient = { probeIntervalMs: 1000, probeTimeoutMs: 500, backend };
    const nodes: GossipNode[] = [];
    for (const name of ["a", "b", "c"]) nodes.push(await newNode(name, patient));
    const [a, b, c] = nodes as [GossipNode, GossipNode, GossipNode];
    for (const node of [b, c]) await node.join([a.self.address]);
    await until(() => nodes.every(({ memberCount }) => memberCount === 3), "three members");
    const watches = nodes.map((node) => new Watch(node));
    let sent = 0;
    let isDone = false;
    const talk = async (): Promise<void> => {
      for (; !isDone; sent++) {
        for (const from of nodes) {
          for (const to of nodes) if (to !== from) await from.send(to.self.name, bytes(`${sent}`));
        }
        await a.send("b", bytes(`reliable ${sent}`), { reliable: true, timeoutMs: 30_000 });
      }
    };
    const talking = talk();
    const use = (key: Uint8Array) => (node: GossipNode) => node.keyring.use(key);
    const remove = (id: string) => (node: GossipNode) => node.keyring.remove(id);
    let old = ids(a)[0] as string;
    for (let turn = 0; turn < 3; turn++) {
      const key = newKey();
      for (const node of nodes) await node.keyring.add(key);
      for (const change of [() => {}, use(key), remove(old)]) {
        for (const node of nodes) {
          await change(node);
          const before = sent;
          await until(() => sent > before + 2, "traffic while the nodes differ");
        }
      }
      old = ids(a)[0] as string;
    }
    isDone = true;
    await talking;
    const expected = [2 * sent, 3 * sent, 2 * sent];
    await until(() => watches.every((watch, i) => watch.of("message").length >= (expected[i] as number)), "all of it");
    expect(watches.map((watch) => watch.of("message").length)).toEqual(expected);
    for (const { stats } of nodes) {
      const { dropUnknownKey, dropUnsealable } = stats.counters;
      expect([dropUnknownKey, dropUnsealable]).toEqual([0, 0]);
    }
    for (const watch of watches) expect(watch.of("fail")).toEqual([]);
  });

  it("leaves a node behind that has the old key only, and takes it back when it gets the new one", async () => {
    const [oldKey, key] = [newKey(), newKey()];
    const a = await newNode("a", { keys: [oldKey] });
    await a.keyring.add(key);
    await a.keyring.use(key);
    await a.keyring.remove(oldKey);
    const late = await newNode("late", { keys: [oldKey] });
    const error = await errorOf(() => late.join([a.self.address]));
    expect(error.message).toMatch(/key mismatch/);
    await late.keyring.add(key);
    await late.keyring.use(key);
    expect((await late.join([a.self.address])).joined).toBe(1);
  });
});

describe("the keyring file", () => {
  let directory = "";
  let path = "";
  const passphrase = "a long enough passphrase";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "tattler-"));
    path = join(directory, "cluster.keyring");
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const open = (keys: Uint8Array[] = [], secret: string | Uint8Array = passphrase) =>
    newNode("a", { keys, keyringFile: path, passphrase: secret });

  it("is made from the keys, sealed, for its owner only, and keeps what changes", async () => {
    const [first, second] = [newKey(32), newKey(16)];
    const node = await open([first]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const firstContent = readFileSync(path);
    await node.keyring.add(second);
    await node.keyring.use(second);
    const expected = ids(node);
    await node.close();
    for (const content of [firstContent, readFileSync(path)]) {
      for (const key of [first, second]) expect(content.includes(Buffer.from(key))).toBe(false);
    }
    const again = await open([newKey()], Buffer.from(passphrase));
    expect(ids(again)).toEqual(expected);
    await again.keyring.remove(first);
    await again.close();
    expect(ids(await open())).toEqual([expected[0]]);
    expect(readdirSync(directory)).toEqual(["cluster.keyring"]);
  });

  it("does not open with another passphrase, nor with any byte changed", async () => {
    await (await open([sharedKey])).close();
    const wrong = await errorOf(() => open([], "another passphrase"));
    expect([wrong.code, wrong.message.includes("another passphrase")]).toEqual(["TATTLER_KEYRING_DAMAGED", false]);
    const content = readFileSync(path);
    for (const at of [0, 7, 9, 20, 40, 60, content.length - 1]) {
      const broken = Buffer.from(content);
      broken[at] = (broken[at] as number) ^ 1;
      writeFileSync(path, broken);
      expect((await errorOf(() => open())).code, `byte ${at}`).toBe("TATTLER_KEYRING_DAMAGED");
    }
    for (const length of [0, 5, 40, content.length - 1]) {
      writeFileSync(path, content.subarray(0, length));
      expect((await errorOf(() => open())).code, `${length} bytes`).toBe("TATTLER_KEYRING_DAMAGED");
    }
    writeFileSync(path, Buffer.alloc(100_000));
    expect((await errorOf(() => open())).message).toContain("100000 bytes are no keyring");
  });

  it("that cannot be written leaves file and keys as they were", async () => {
    const node = await open([sharedKey]);
    const [before, content] = [ids(node), readFileSync(path)];
    rmSync(directory, { recursive: true });
    for (const change of [() => node.keyring.add(newKey()), () => node.keyring.add(newKey(16))]) {
      expect((await errorOf(change)).code).toBe("TATTLER_KEYRING_UNWRITABLE");
    }
    expect(ids(node)).toEqual(before);
    mkdirSync(directory);
    writeFileSync(path, content, { mode: 0o600 });
    await node.keyring.add(newKey()); // works again
    expect(ids(node)).toHaveLength(2);
  });

  it("needs a passphrase, and keys when there is none yet", async () => {
    expect((await errorOf(() => newNode("a", { keyringFile: path }))).message).toContain("no passphrase");
    expect((await errorOf(() => newNode("a", { passphrase }))).message).toContain("no keyringFile");
    expect((await errorOf(() => open([], "short"))).message).not.toContain('short"');
    expect((await errorOf(() => open())).code).toBe("TATTLER_KEYRING_UNREADABLE");
    expect(existsSync(path)).toBe(false);
  });

  it("that others may read is warned about", async () => {
    await (await open([sharedKey])).close();
    chmodSync(path, 0o644);
    const warnings: string[] = [];
    const listen = (warning: Error): unknown => warnings.push(warning.message);
    process.on("warning", listen);
    await open();
    await until(() => warnings.length > 0, "a warning");
    process.off("warning", listen);
    expect(warnings[0]).toContain("chmod 600");
  });
});

describe("the bytes of a key", () => {
  it("are not to be found in what a node shows, nor in a heap snapshot", () => {
    const child = spawnSync(process.execPath, [snapshotProgram], { encoding: "utf8" });
    expect(child.stderr).toBe("");
    const result = JSON.parse(child.stdout) as { found: boolean[]; bytes: number; control: boolean };
    expect(result).toMatchObject({ found: [false, false, false, false], control: true });
    expect(result.bytes).toBeGreaterThan(1_000_000);
  });

  it("are gone from the configuration once the keyring has them", async () => {
    const config = resolveConfig({ name: "a", keys: [sharedKey, newKey(16)] });
    expect(config.keys[0]).toEqual(sharedKey);
    const keyring = await NodeKeyring.open(config, undefined);
    expect(keyring.list()).toHaveLength(2);
    expect(config.keys).toEqual([new Uint8Array(32), new Uint8Array(16)]);
  });
});
