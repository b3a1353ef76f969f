// The conversation that every client of the family must be able to have with us.
// The clients of pomelo and nano have the same surface but for its name.
import assert from "node:assert/strict";
import { afterEach, test as plainTest } from "node:test";

import { traffic } from "./window.mjs";

const { hostname: host, port } = new URL(process.env.NANO_URL);

const coded = Number(process.env.NANO_CODED !== undefined); // a dictionary was agreed upon

/** The first byte of each message among packets: its type, and whether its route is a code. */
const flags = (packets) => packets.filter((it) => it[0] === 4).map((it) => it[4]);

/** Values made by the page's own realm compare by what they are. */
const plain = (value) => JSON.parse(JSON.stringify(value));

/** These clients have no time-outs of their own. */
const test = (name, run) => plainTest(name, { timeout: 30_000 }, run);

/** Tell the tests of one client; *open* returns it fresh, as a new page has it. */
export function conversation(open) {
  const clients = []; // one that a failure leaves open would keep the program alive
  const connected = (params = {}) =>
    new Promise((resolve, reject) => {
      const client = open();
      clients.push(client);
      client.on("error", reject);
      client.on("io-error", reject);
      client.init({ host, port, ...params }, () => resolve(client));
    });
  const ask = (client, route, message) =>
    new Promise((resolve) => client.request(route, message, (answer) => resolve(plain(answer))));
  const next = (client, name) =>
    new Promise((resolve) => client.on(name, (value) => resolve(value)));

  afterEach(() => {
    for (const client of clients.splice(0)) {
      client.removeAllListeners(); // what it still says is of no interest
      client.disconnect();
    }
  });

  test("the handshake is accepted, with a user and without", async () => {
    await connected();
    await connected({ user: { name: "Ann" } });
  });

  test("requests are answered", async () => {
    const client = await connected();
    assert.deepEqual(await ask(client, "Parlour.echo", { text: "grüße" }), { text: "grüße" });
  });

  test("a notify leads to a push", async () => {
    const client = await connected();
    const heard = next(client, "onShout");
    client.notify("Parlour.shout", { text: "日本" });
    assert.deepEqual(plain(await heard), { text: "日本" });
  });

  test("an error is not misread: it is an answer of code, msg and status", async () => {
    const client = await connected();
    const unknown = await ask(client, "Parlour.nowhere", {});
    assert.deepEqual([unknown.code, unknown.status], ["NANO-404", 404]);
    const refused = await ask(client, "Parlour.fail", { why: "full" });
    assert.deepEqual(refused, { code: "PARLOUR-FULL", msg: "full", status: 409 });
    assert.deepEqual(await ask(client, "Parlour.echo", { still: "here" }), { still: "here" });
  });

  test("1000 requests at once are answered, each its own", async () => {
    const client = await connected();
    const numbers = Array.from({ length: 1000 }, (_, number) => ({ number }));
    const answers = await Promise.all(
      numbers.map((number) => ask(client, "Parlour.echo", number)),
    );
    assert.deepEqual(answers, numbers);
  });

  test("routes of the dictionary go as codes both ways, all others by name", async () => {
    const client = await connected();
    traffic.sent.length = traffic.heard.length = 0;
    const heard = next(client, "onShout"); // 300 in the dictionary
    client.notify("Parlour.shout", { text: "not in it" });
    await heard;
    assert.deepEqual(await ask(client, "Parlour.echo", { text: "1 in it" }), { text: "1 in it" });
    assert.deepEqual(flags(traffic.sent), [2, 0 | coded]);
    assert.deepEqual(flags(traffic.heard), [6 | coded, 4]);
  });

  test("a kick is told with its reason, and the connection is closed", async () => {
    const client = await connected();
    const kicked = next(client, "onKick");
    const closed = next(client, "close");
    client.notify("Parlour.leave", "good bye");
    assert.equal((await kicked).reason, "good bye");
    await closed;
  });

  test("its late heartbeats keep it connected", async () => {
    const client = await connected();
    const lost = next(client, "close").then(() => assert.fail("the server has closed"));
    const timeout = next(client, "heartbeat timeout").then(() => assert.fail("silent"));
    // five intervals: who is not heard is gone after three
    await Promise.race([lost, timeout, ask(client, "Parlour.slow", 5)]);
  });

  test("emoji arrive both ways, although it writes them wrongly and cannot read them", async () => {
    const client = await connected();
    const text = "😀 naïve 👩‍🚀 𝄞";
    const heard = next(client, "onShout");
    client.notify("Parlour.shout", { text });
    assert.deepEqual(await ask(client, "Parlour.echo", { text }), { text });
    assert.deepEqual(plain(await heard), { text });
  });
}
