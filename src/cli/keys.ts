import { readFileSync, statSync } from "node:fs";
import type { GossipNode } from "../node.js";
import { UsageError } from "./usage.js";

/** Where an agent's keys come from. */
export interface KeyFlags {
  readonly key: string | undefined;
  readonly keyFile: string | undefined;
  readonly keyring: string | undefined;
  readonly passphraseFile: string | undefined;
}

const passphraseVariable = "TATTLER_PASSPHRASE";

/** The keys of --key or --key-file, primary first; none without either. */
export function readKeys({ key, keyFile }: KeyFlags): Uint8Array[] {
  if (key !== undefined && keyFile !== undefined) {
    throw new UsageError("--key and --key-file are both given", "give one of them");
  }
  if (key !== undefined) return [decodeKey(key, "--key")];
  if (keyFile === undefined) return [];
  return decodeFile(readSecret(keyFile, "--key-file"), `--key-file ${keyFile}`);
}

/** The keyring file's passphrase; never from the command line, which others can see. */
export function readPassphrase({ keyring, passphraseFile }: KeyFlags): string | undefined {
  const remedy = `give --passphrase-file, or set ${passphraseVariable}`;
  if (keyring === undefined) {
    if (passphraseFile === undefined) return undefined;
    throw new UsageError("--passphrase-file without --keyring", "give both or neither");
  }
  const passphrase =
    passphraseFile === undefined
      ? process.env[passphraseVariable]
      : readSecret(passphraseFile, "--passphrase-file")
          .toString("utf8")
          .replace(/\r?\n$/, "");
  if (passphrase === undefined) throw new UsageError("--keyring without a passphrase", remedy);
  return passphrase;
}

/**
 * On SIGHUP the key file is read again, and what differs is applied: new keys are added, the first seals, those that
 * are gone are removed. A file that makes no sense, or none, changes nothing; without a handler the process would end.
 */
export function reloadKeysOnSignal(node: GossipNode, flags: KeyFlags, signal: AbortSignal): void {
  let reloading = Promise.resolve();
  const reload = (): void => {
    reloading = reloading
      .then(() => applyKeys(node, flags.keyFile === undefined ? [] : readKeys(flags)))
      .then((ids) => console.error(`tattler: keys ${ids.join(", ")} from ${flags.keyFile}`))
      .catch((error) => console.error(`tattler: the keys stay as they are: ${(error as Error).message}`));
  };
  process.on("SIGHUP", reload);
  signal.addEventListener("abort", () => process.off("SIGHUP", reload), { once: true });
}

export function wipe(keys: readonly Uint8Array[]): void {
  for (const key of keys) key.fill(0);
}

async function applyKeys(node: GossipNode, keys: readonly Uint8Array[]): Promise<string[]> {
  const ids: string[] = [];
  try {
    for (const key of keys) ids.push(await node.keyring.add(key));
    const [primary] = ids;
    if (primary === undefined) throw new Error("there is no --key-file to read them from");
    await node.keyring.use(primary);
    for (const { id } of node.keyring.list()) if (!ids.includes(id)) await node.keyring.remove(id);
    return ids;
  } finally {
    wipe(keys);
  }
}

function readSecret(file: string, flag: string): Buffer {
  try {
    const content = readFileSync(file);
    if ((statSync(file).mode & 0o077) !== 0) {
      console.error(`tattler: others than its owner may read ${file}; run chmod 600 ${file}`);
    }
    return content;
  } catch (error) {
    throw new UsageError(`${flag} ${file} cannot be read: ${(error as Error).message}`, "check the path");
  }
}

/** Keys in base64, one on each line, or the raw bytes of one. Never shows them. */
function decodeFile(content: Buffer, flag: string): Uint8Array[] {
  const lines = content.toString("latin1").split("\n");
  const texts = lines.map((line) => line.trim()).filter((line) => line !== "");
  const isText = texts.length > 0 && texts.every((text) => /^[A-Za-z0-9+/]+={0,2}$/.test(text));
  if (isText) return texts.map((text) => decodeKey(text, flag));
  if (isKeyLength(content)) return [new Uint8Array(content)];
  throw badKey(flag, content);
}

function decodeKey(text: string, flag: string): Uint8Array {
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text.trim()) && text.trim().length % 4 === 0;
  if (!isBase64) throw new UsageError(`${flag} is not base64`, remedyForKeys);
  const key = Buffer.from(text, "base64");
  if (isKeyLength(key)) return new Uint8Array(key);
  throw badKey(flag, key);
}

const remedyForKeys = "give 16, 24 or 32 bytes in base64, as `tattler keygen` prints them";

function isKeyLength({ length }: Uint8Array): boolean {
  return [16, 24, 32].includes(length);
}

function badKey(flag: string, { length }: Uint8Array): Error {
  return new UsageError(`${flag} holds ${length} bytes`, remedyForKeys);
}
