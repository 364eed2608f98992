import { createHash } from "node:crypto";
import type { Config } from "./config.js";
import { tattlerError } from "./errors.js";
import { makeKeyring } from "./io/native.js";
import type { KeyringFile } from "./keyring_file.js";
import type { Keyring } from "./wire/addon.js";

/** A key without its bytes. */
export interface KeyInfo {
  /** First 4 bytes of BLAKE2b-512(key) as 8 hex digits; it stands in the header of every datagram. */
  readonly id: string;
  /** The one we seal with. */
  readonly primary: boolean;
}

/** A key by its bytes or by its id. */
export type KeyOrId = Uint8Array | string;

/** Keys in the file, and where to write them. */
interface Stored {
  readonly file: KeyringFile;
  keys: readonly Buffer[];
}

/**
 * The keys of one node (M-195 to M-199). Changes take effect with the next datagram and chunk, and with a keyring file
 * only once it is written. Rotate in three steps, each on every node before the next: add(), use(), remove(); no packet
 * is lost on the way. Key bytes live in locked memory and are never given out.
 */
export class NodeKeyring {
  readonly #ring: Keyring | null;
  readonly #stored: Stored | null;
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(ring: Keyring | null, stored: Stored | null) {
    this.#ring = ring;
    this.#stored = stored;
  }

  /**
   * From the keyring file if there is one, else from `keys`, which it is then created with. Wipes `config.keys`.
   * Errors: TATTLER_KEYRING_UNREADABLE, TATTLER_KEYRING_DAMAGED, TATTLER_KEYRING_UNWRITABLE.
   * @internal
   */
  static async open(config: Config, passphrase: Uint8Array | string | undefined): Promise<NodeKeyring> {
    try {
      const stored = await openStored(config, passphrase);
      return new NodeKeyring(makeKeyring(stored?.keys ?? config.keys), stored);
    } finally {
      for (const key of config.keys) key.fill(0);
    }
  }

  /** What the addon seals with; null without encryption. @internal */
  get ring(): Keyring | null {
    return this.#ring;
  }

  /** The keys, the primary first; empty without encryption. */
  list(): readonly KeyInfo[] {
    const ids = this.#ring?.ids() ?? [];
    return ids.map((id, index) => Object.freeze({ id: textOf(id), primary: index === 0 }));
  }

  /**
   * Accepts what is sealed with this key from now on. One that is there already stays as it is. Resolves to its id.
   * Errors: TATTLER_KEY_INVALID, TATTLER_KEYRING_OFF, TATTLER_KEYRING_UNWRITABLE.
   */
  async add(key: Uint8Array): Promise<string> {
    checkKey(key);
    const copy = new Uint8Array(key); // the caller may wipe its own while we wait
    const id = idOf(copy);
    return this.#change(async (ring) => {
      if (ring.ids().includes(id)) return textOf(id);
      await this.#store((keys, file) => [...keys, file.lock(copy)]);
      ring.add(copy);
      return textOf(id);
    }).finally(() => copy.fill(0));
  }

  /** Seals with this key from now on. Errors: TATTLER_KEY_UNKNOWN, TATTLER_KEYRING_OFF, TATTLER_KEYRING_UNWRITABLE. */
  async use(key: KeyOrId): Promise<void> {
    const id = asId(key);
    return this.#change(async (ring) => {
      if (!ring.ids().includes(id)) throw tattlerError("TATTLER_KEY_UNKNOWN", [textOf(id)]);
      await this.#store((keys) => {
        return [...keys.filter((one) => idOf(one) === id), ...keys.filter((one) => idOf(one) !== id)];
      });
      ring.use(id);
    });
  }

  /**
   * No longer accepts this key. False when it was not there.
   * Errors: TATTLER_KEY_PRIMARY, TATTLER_KEYRING_OFF, TATTLER_KEYRING_UNWRITABLE.
   */
  async remove(key: KeyOrId): Promise<boolean> {
    const id = asId(key);
    return this.#change(async (ring) => {
      const [primary, ...others] = ring.ids();
      if (id === primary) throw tattlerError("TATTLER_KEY_PRIMARY", [textOf(id)]);
      if (!others.includes(id)) return false;
      await this.#store((keys) => keys.filter((one) => idOf(one) !== id));
      return ring.remove(id);
    });
  }

  /** One change after the other, so that ring and file agree. */
  #change<T>(change: (ring: Keyring) => Promise<T>): Promise<T> {
    const ring = this.#ring;
    if (ring === null) return Promise.reject(tattlerError("TATTLER_KEYRING_OFF"));
    const done = this.#changing.then(() => change(ring));
    this.#changing = done.catch(() => {});
    return done;
  }

  async #store(change: (keys: readonly Buffer[], file: KeyringFile) => readonly Buffer[]): Promise<void> {
    const stored = this.#stored;
    if (stored === null) return;
    const keys = change(stored.keys, stored.file);
    await stored.file.write(keys);
    for (const key of stored.keys) if (!keys.includes(key)) key.fill(0);
    stored.keys = keys;
  }
}

async function openStored(config: Config, passphrase: Uint8Array | string | undefined): Promise<Stored | null> {
  if (config.keyringFile === null || passphrase === undefined) return null;
  // Loaded only by those who use it: it brings a second native library.
  const { KeyringFile } = await import("./keyring_file.js");
  const opened = await KeyringFile.open(config.keyringFile, passphrase);
  if (opened !== null) return opened;
  if (config.keys.length === 0) throw tattlerError("TATTLER_KEYRING_UNREADABLE", [config.keyringFile, "no such file"]);
  const file = await KeyringFile.create(config.keyringFile, passphrase);
  const keys = config.keys.map((key) => file.lock(key));
  await file.write(keys);
  return { file, keys };
}

function checkKey(key: Uint8Array): void {
  if (!(key instanceof Uint8Array)) throw tattlerError("TATTLER_KEY_INVALID", ["is not a Uint8Array"]);
  if (![16, 24, 32].includes(key.length)) throw tattlerError("TATTLER_KEY_INVALID", [`has ${key.length} bytes`]);
}

function asId(key: KeyOrId): number {
  if (typeof key !== "string") {
    checkKey(key);
    return idOf(key);
  }
  if (/^[0-9a-f]{8}$/i.test(key)) return Buffer.from(key, "hex").readUInt32LE(0);
  throw tattlerError("TATTLER_KEY_INVALID", ["is no id of 8 hex digits"]);
}

function idOf(key: Uint8Array): number {
  return createHash("blake2b512").update(key).digest().readUInt32LE(0);
}

function textOf(id: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(id);
  return bytes.toString("hex");
}
