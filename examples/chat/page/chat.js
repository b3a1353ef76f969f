/**
 * The chat: what the server says becomes what is seen, what the user does goes out.
 *
 * @module
 */

import { clientFor, insist, login, newId, why } from "./server.js";
import * as view from "./view.js";

const KEPT = "nanocluster-chat"; // of this tab: another one may be somebody else
const NOTICE = 6000; // milliseconds

const { at } = view;
const lines = new view.Lines();

let client = null;
let me = "";
let room = "";
let rooms = [];
let counts = {};
let members = new Set();
let asked = ""; // for which difference of counts the members were asked
let noticeTimer = 0;
const unread = new Set();
const seen = {}; // when the last thing was said, by room, as far as we know

// ---------------------------------------------------------------------- coming and going

async function enter(nickname, ticket) {
  const given = await login(nickname, ticket);
  sessionStorage.setItem(KEPT, JSON.stringify({ nickname: given.name, ticket: given.ticket }));
  me = given.name;
  at("text").maxLength = given.longest.text;
  at("nickname").maxLength = given.longest.name;
  client = clientFor(given);
  listen(client);
  view.showMe(me);
  view.showState("opening", "connecting");
  await client.open();
}

function listen(current) {
  current.on("onMessage", heard);
  current.on("onNewUser", ({ name, room: where }) => came(name, where));
  current.on("onLeave", ({ name, room: where }) => left(name, where));
  current.on("onBalance", ({ currentBalance }) => view.showBalance(currentBalance));
  current.on("onTraffic", busy);
  current.events.on("open", ({ resumed }) => opened(current, resumed));
  current.events.on("reconnecting", waiting);
  current.events.on("close", ({ reason }) => {
    if (current === client) signedOut(reason);
  });
}

/** A session that is new has to log in; one that was taken up is where it was. */
async function opened(current, resumed) {
  view.showState("working", "connected");
  try {
    if (resumed) await refresh();
    else arrived(await insist(current, "BindService.Login", room ? { room } : {}));
  } catch (error) {
    if (current.state === "working") notice(`You are not in the room yet: ${why(error)}`);
  }
}

function waiting({ delay }) {
  const seconds = Math.ceil(delay / 1000);
  view.showState("waiting", seconds > 1 ? `next try in ${seconds} s` : "reconnecting");
}

function signedOut(reason) {
  client = null;
  room = "";
  view.showScreen("login", reason && `You were signed out: ${reason}`);
}

function leave() {
  const current = client;
  sessionStorage.removeItem(KEPT);
  signedOut("");
  current?.disconnect();
}

// --------------------------------------------------------------------------- what is heard

/** The answer to a login or a change of room: everything about where we are. */
function arrived(entered) {
  const changed = room !== entered.room;
  room = entered.room;
  rooms = entered.rooms;
  members = new Set(entered.members);
  if (changed) lines.clear();
  for (const line of entered.history) lines.show(line, me);
  unread.delete(room);
  if (entered.gate) view.showNode("gate", entered.gate);
  view.showBalance(entered.balance);
  view.showMembers(members, me);
  showRooms();
  view.showScreen("chat");
}

function heard(line) {
  if (line.room !== room) return;
  lines.show(line, me);
  view.showNode("backend", line.node);
}

function came(name, where) {
  if (where !== room || name === me || members.has(name)) return;
  members.add(name);
  lines.tell(`${name} has come in`);
  changedHere();
}

function left(name, where) {
  if (where !== room || !members.delete(name)) return;
  lines.tell(`${name} has left`);
  changedHere();
}

function changedHere() {
  counts[room] = members.size;
  view.showMembers(members, me);
  showRooms();
}

function busy(report) {
  counts = report.rooms;
  for (const [name, last] of Object.entries(report.last)) {
    if (name !== room && name in seen && last > seen[name]) unread.add(name);
    seen[name] = last;
  }
  view.showTraffic(report);
  showRooms();
  const difference = `${room} ${counts[room]} ${members.size}`;
  if (counts[room] !== members.size && asked !== difference) refresh();
  asked = difference;
}

/** Ask who is here: a gate that has died could announce nobody. */
async function refresh() {
  const where = room;
  const found = await client.request("RoomService.Members", { room: where }).catch(() => null);
  if (!found || where !== room) return;
  members = new Set(found.members);
  view.showMembers(members, me);
}

// ---------------------------------------------------------------------------- what is done

async function go(where) {
  closeSide();
  if (where === room) return;
  try {
    arrived(await insist(client, "RoomService.ChangeRoom", { room: where }));
  } catch (error) {
    notice(`You are still in the ${room}: ${why(error)}`);
  }
}

function say() {
  const content = at("text").value.trim();
  if (!content || !client) return;
  at("text").value = "";
  const line = { id: newId(), name: me, room, content, at: Date.now() };
  lines.show(line, me, true);
  send(line);
}

async function send(line) {
  try {
    const { id, content } = line;
    await insist(client, "RoomService.SyncMessage", { name: me, id, content });
  } catch (error) {
    lines.fail(line.id, why(error), () => send(line));
  }
}

// ------------------------------------------------------------------------------- the page

function showRooms() {
  view.showRooms(rooms, room, counts, unread, go);
}

function notice(text) {
  view.showNotice(text);
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => view.showNotice(""), NOTICE);
}

function openSide() {
  document.body.dataset.side = "open";
  at("open-side").setAttribute("aria-expanded", "true");
  at("close-side").focus();
}

function closeSide() {
  if (document.body.dataset.side !== "open") return;
  delete document.body.dataset.side;
  at("open-side").setAttribute("aria-expanded", "false");
  at("open-side").focus();
}

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  const nickname = at("nickname").value;
  try {
    await enter(nickname, kept.nickname === nickname ? kept.ticket : "");
  } catch (error) {
    view.showScreen("login", why(error));
  }
});

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});

at("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});

at("leave").addEventListener("click", leave);
at("open-side").addEventListener("click", openSide);
at("close-side").addEventListener("click", closeSide);
document.querySelector(".room").addEventListener("click", (event) => {
  if (!event.target.closest("#open-side")) closeSide();
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") closeSide();
});
addEventListener("pagehide", () => client?.disconnect());
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload(); // a page that was put aside has said goodbye
});

document.querySelector("#login button").disabled = false; // before, it would leave the page
const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
if (kept) {
  at("nickname").value = kept.nickname;
  enter(kept.nickname, kept.ticket).catch((error) => view.showScreen("login", why(error)));
}
