import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import sodium from "sodium-native";
import { tattlerError } from "./errors.js";

/**
 * A keyring at rest, sealed with a passphrase: `magic (8) | operations (4) | memory in KiB (4) | salt (16) |
 * nonce (24) | sealed keys`. Argon2id turns the passphrase into the key of XChaCha20-Poly1305; what stands in front of
 * the sealed part is authenticated with it. The keys, each behind its length, primary first.
 */
const magic = Buffer.from("tattler\x01", "latin1");
const saltAt = magic.length + 8;
const nonceAt = saltAt + sodium.crypto_pwhash_SALTBYTES;
const sealedAt = nonceAt + sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
const tagBytes = sodium.crypto_aead_xchacha20poly1305_ietf_ABYTES;
const longestKey = 32;
/** A damaged or hostile file must not make us allocate or compute without bound. */
const mostBytes = 64 * 1024;
const mostMemoryKib = 1024 * 1024;
const mostOperations = 16;

export class KeyringFile {
  readonly path: string;
  readonly #header: Buffer;
  readonly #key: Buffer;

  private constructor(path: string, header: Buffer, key: Buffer) {
    this.path = path;
    this.#header = header;
    this.#key = key;
  }

  /**
   * Opens a file; its keys are in locked memory, primary first. Null when there is none.
   * Errors: TATTLER_KEYRING_UNREADABLE, TATTLER_KEYRING_DAMAGED.
   */
  static async open(
    path: string,
    passphrase: Uint8Array | string,
  ): Promise<{ file: KeyringFile; keys: Buffer[] } | null> {
    const content = await readIfThere(path);
    if (content === null) return null;
    const header = headerOf(path, content);
    const key = await keyOf(header, passphrase);
    return { file: new KeyringFile(path, header, key), keys: unseal(path, content, key) };
  }

  /** A new file, not written yet. */
  static async create(path: string, passphrase: Uint8Array | string): Promise<KeyringFile> {
    const header = Buffer.alloc(nonceAt);
    magic.copy(header);
    header.writeUInt32LE(sodium.crypto_pwhash_OPSLIMIT_MODERATE, magic.length);
    header.writeUInt32LE(sodium.crypto_pwhash_MEMLIMIT_MODERATE / 1024, magic.length + 4);
    sodium.randombytes_buf(header.subarray(saltAt));
    return new KeyringFile(path, header, await keyOf(header, passphrase));
  }

  /** A copy in memory that is locked, guarded and left out of core dumps. */
  lock(key: Uint8Array): Buffer {
    return lockedCopy(key);
  }

  /**
   * Replaces the file's content, all or nothing: whoever reads it finds the old or the new one whole, whatever happens.
   * Errors: TATTLER_KEYRING_UNWRITABLE; the file is then as it was.
   */
  async write(keys: readonly Uint8Array[]): Promise<void> {
    const content = seal(this.#header, this.#key, keys);
    const draft = `${this.path}.${randomUUID()}.tmp`;
    try {
      await writeDurably(draft, content);
      await rename(draft, this.path);
      await syncDirectory(dirname(this.path));
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      throw tattlerError("TATTLER_KEYRING_UNWRITABLE", [this.path, reasonOf(error)], error);
    }
  }
}

function lockedCopy(bytes: Uint8Array): Buffer {
  const locked = sodium.sodium_malloc(bytes.length);
  locked.set(bytes);
  return locked;
}

async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    const { size, mode } = await stat(path);
    if (size > mostBytes) throw damaged(path, `${size} bytes are no keyring`);
    if ((mode & 0o077) !== 0) {
      const warning = `${path} is open to others: chmod 600 it`;
      process.emitWarning(warning, { type: "TattlerWarning", code: "TATTLER_KEYRING_OPEN" });
    }
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    if ((error as NodeJS.ErrnoException).code === "TATTLER_KEYRING_DAMAGED") throw error;
    throw tattlerError("TATTLER_KEYRING_UNREADABLE", [path, reasonOf(error)], error);
  }
}

function headerOf(path: string, content: Buffer): Buffer {
  if (!content.subarray(0, magic.length).equals(magic)) throw damaged(path, "it is no keyring of tattler");
  if (content.length < sealedAt + tagBytes) throw damaged(path, "it is cut short");
  const operations = content.readUInt32LE(magic.length);
  const memoryKib = content.readUInt32LE(magic.length + 4);
  const isSane = operations >= sodium.crypto_pwhash_OPSLIMIT_MIN && operations <= mostOperations;
  if (!isSane || memoryKib * 1024 < sodium.crypto_pwhash_MEMLIMIT_MIN || memoryKib > mostMemoryKib) {
    throw damaged(path, "its costs make no sense");
  }
  return content.subarray(0, nonceAt);
}

async function keyOf(header: Buffer, passphrase: Uint8Array | string): Promise<Buffer> {
  const key = sodium.sodium_malloc(sodium.crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  const bytes = typeof passphrase === "string" ? new TextEncoder().encode(passphrase) : passphrase;
  const secret = lockedCopy(bytes);
  if (bytes !== passphrase) bytes.fill(0);
  const operations = header.readUInt32LE(magic.length);
  const memory = header.readUInt32LE(magic.length + 4) * 1024;
  const salt = header.subarray(saltAt, nonceAt);
  await sodium.crypto_pwhash_async(key, secret, salt, operations, memory, sodium.crypto_pwhash_ALG_ARGON2ID13);
  sodium.sodium_memzero(secret);
  return key;
}

function seal(header: Buffer, key: Buffer, keys: readonly Uint8Array[]): Buffer {
  const plain = sodium.sodium_malloc(keys.reduce((bytes, { length }) => bytes + 1 + length, 0));
  let at = 0;
  for (const one of keys) {
    plain[at] = one.length;
    plain.set(one, at + 1);
    at += 1 + one.length;
  }
  const content = Buffer.alloc(sealedAt + plain.length + tagBytes);
  header.copy(content);
  const nonce = content.subarray(nonceAt, sealedAt);
  sodium.randombytes_buf(nonce);
  const sealed = content.subarray(sealedAt);
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, plain, header, null, nonce, key);
  sodium.sodium_memzero(plain);
  return content;
}

function unseal(path: string, content: Buffer, key: Buffer): Buffer[] {
  const sealed = content.subarray(sealedAt);
  const nonce = content.subarray(nonceAt, sealedAt);
  const plain = sodium.sodium_malloc(sealed.length - tagBytes);
  try {
    const header = content.subarray(0, nonceAt);
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(plain, null, sealed, header, nonce, key);
  } catch {
    throw damaged(path, "wrong passphrase, or a damaged file");
  }
  const keys: Buffer[] = [];
  for (let at = 0; at < plain.length; ) {
    const length = plain[at] as number;
    if (length > longestKey || at + 1 + length > plain.length) throw damaged(path, "its keys make no sense");
    keys.push(lockedCopy(plain.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  sodium.sodium_memzero(plain);
  return keys;
}

async function writeDurably(path: string, content: Buffer): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, constants.O_RDONLY);
    await directory.sync();
  } catch {
    // Not every file system can; the rename has happened all the same.
  } finally {
    await directory?.close();
  }
}

function damaged(path: string, reason: string): Error {
  return tattlerError("TATTLER_KEYRING_DAMAGED", [path, reason]);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
