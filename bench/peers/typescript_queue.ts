/** The rules of the native queue in plain TypeScript, as one would write it without an addon. */
export class TypeScriptQueue {
  readonly #records: QueuedRecord[] = [];
  readonly #bySubject = new Map<number, QueuedRecord>();
  readonly #limit: number;
  readonly #out = new DataView(new ArrayBuffer(2048));
  #nextId = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Kept sorted: fewest transmits, then newest (all accusations have one size). */
  push(subject: number, from: number, incarnation: number): void {
    const old = this.#bySubject.get(subject);
    if (old !== undefined) this.#records.splice(this.#records.indexOf(old), 1);
    const record = { subject, from, incarnation, transmits: 0, id: this.#nextId++ };
    this.#bySubject.set(subject, record);
    this.#insert(record);
  }

  /** Encodes as many records as fit and returns the bytes used. */
  fill(budgetBytes: number): number {
    const count = Math.min(this.#records.length, Math.floor(budgetBytes / recordBytes));
    const picks = this.#records.splice(0, count);
    picks.forEach((record, i) => {
      this.#encode(record, i * recordBytes);
      record.transmits++;
      if (record.transmits < this.#limit) this.#insert(record);
      else this.#bySubject.delete(record.subject);
    });
    return count * recordBytes;
  }

  #insert(record: QueuedRecord): void {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (precedes(this.#records[middle] as QueuedRecord, record)) low = middle + 1;
      else high = middle;
    }
    this.#records.splice(low, 0, record);
  }

  #encode(record: QueuedRecord, at: number): void {
    this.#out.setUint32(at, record.subject, true);
    this.#out.setUint32(at + 8, record.from, true);
    this.#out.setUint32(at + 16, record.incarnation, true);
  }
}

interface QueuedRecord {
  readonly subject: number;
  readonly from: number;
  readonly incarnation: number;
  readonly id: number;
  transmits: number;
}

const recordBytes = 24;

function precedes(a: QueuedRecord, b: QueuedRecord): boolean {
  return a.transmits !== b.transmits ? a.transmits < b.transmits : a.id > b.id;
}
