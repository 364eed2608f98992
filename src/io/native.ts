import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Backend } from "../config.js";
import { tattlerError } from "../errors.js";
import type { Addon, Hub, Keyring } from "../wire/addon.js";

/**
 * Descriptors between two wake-ups. At 250,000 datagrams a second JavaScript may be away for a quarter of a second
 * before anything is dropped.
 */
const ringRecords = 65_536;
/** Room for as many datagrams of 256 bytes. */
const slabBytes = 16 * 2 ** 20;
const transmitBytes = 4 * 2 ** 20;
/** Not more than the sockets that one wait of the I/O thread names (udp_linux.cc). */
const maxSockets = 8192;
/** Of a manual hub, which has none: a simulation is larger than what one process serves. */
const maxSimulated = 65_536;
const maxDatagramBytes = 65_535;
/** What native/udp_socket.cc asks of the system for each socket. */
export const receiveBufferBytes = 2 * 2 ** 20;

let loaded: Addon | null = null;

/** The native addon. Errors: TATTLER_ADDON_MISSING. */
export function loadAddon(): Addon {
  if (loaded === null) {
    const require = createRequire(import.meta.url);
    try {
      const root = packageRoot(require);
      loaded = require("node-gyp-build")(root) as Addon;
    } catch (error) {
      throw tattlerError("TATTLER_ADDON_MISSING", [error instanceof Error ? error.message : String(error)], error);
    }
  }
  return loaded;
}

/** A hub with the memory it fills. */
export interface HubMemory {
  readonly hub: Hub;
  readonly ring: ArrayBuffer;
  readonly slab: ArrayBuffer;
  readonly counters: BigUint64Array;
  readonly heardMs: Float64Array;
}

/** A back end that opens sockets. */
export type SocketBackend = Exclude<Backend, "auto">;

/** What `auto` means here. */
export function backendOf(backend: Backend): SocketBackend {
  if (backend !== "auto") return backend;
  return process.platform === "linux" ? "linux" : "posix";
}

/**
 * Allocates in V8, because some builds refuse memory from elsewhere, and lets C++ fill it.
 * @param poison overwrites what was read, so that a view kept too long shows.
 */
export function openHub(
  addon: Addon,
  backend: Backend | "manual",
  onWake: () => unknown,
  { poison = false }: { readonly poison?: boolean } = {},
): HubMemory {
  const { layout } = addon;
  const ring = new ArrayBuffer(ringRecords * layout.recordWords * 4);
  const slab = new ArrayBuffer(slabBytes);
  const maxEndpoints = backend === "manual" ? maxSimulated : maxSockets;
  const counters = new ArrayBuffer(maxEndpoints * layout.countersPerEndpoint * 8);
  const heard = new ArrayBuffer(maxEndpoints * 8);
  const chosen = backend === "manual" ? backend : backendOf(backend);
  const sizes = { maxEndpoints, transmitBytes, maxDatagramBytes, poison };
  const hub = new addon.Hub({ backend: chosen, ring, slab, counters, heard, ...sizes }, onWake);
  return { hub, ring, slab, counters: new BigUint64Array(counters), heardMs: new Float64Array(heard) };
}

/** A keyring with these keys, the first primary; null without keys. */
export function makeKeyring(keys: readonly Uint8Array[]): Keyring | null {
  if (keys.length === 0) return null;
  const keyring = new (loadAddon().Keyring)();
  for (const key of keys) keyring.add(key);
  return keyring;
}

/** The directory with package.json: the addon lies in its build/ or prebuilds/. */
function packageRoot(require: NodeJS.Require): string {
  for (const up of ["../..", "../../..", "../../../.."]) {
    const directory = fileURLToPath(new URL(up, import.meta.url));
    try {
      if (require(`${directory}/package.json`).name === "tattler") return directory;
    } catch {
      // not there: one further up
    }
  }
  throw new Error("the package root was not found");
}
