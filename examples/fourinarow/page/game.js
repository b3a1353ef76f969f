/**
 * The page of four in a row: shows the match as it is pushed, whole each time.
 *
 * @module
 */

import { Client, RequestError } from "./client/index.js";

const COLUMNS = 7;
const ROWS = 6;
const PASSING = new Set([503, 504]); // what is sent twice is done once, so it is sent again
const PAUSE = 500; // milliseconds at most

const at = (id) => document.getElementById(id);
const seats = [...document.querySelectorAll(".seat")];

let client = null;
let match = null;
let seat = 0;
let here = [true, true];

/** This window's own, and kept by it: who has the key has the seat. */
function key() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const made = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!sessionStorage.getItem("key")) sessionStorage.setItem("key", made);
  return sessionStorage.getItem("key");
}

async function connect() {
  const { port } = await (await fetch("gate")).json();
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  client = new Client(`${scheme}://${location.hostname}:${port}/`, {
    user: { key: key() },
    reconnect: { first: true, cap: 4000 },
  });
  client.on("onMatch", show);
  client.on("onPresence", (seen) => {
    here[seen.seat] = seen.here;
    draw();
  });
  client.events.on("reconnecting", () => (at("state").textContent = "reconnecting"));
  client.events.on("close", ({ reason }) => (at("state").textContent = reason));
  client.events.on("open", ({ resumed }) => {
    at("state").textContent = "connected";
    if (match && !resumed) sit("join", match.room); // a new session
  });
  await client.open();
}

async function ask(route, message) {
  for (;;) {
    try {
      const answer = await client.request(`GameService.${route}`, message);
      at("problem").textContent = "";
      return answer;
    } catch (error) {
      const passing = error instanceof RequestError ? PASSING.has(error.status) : !client.closed;
      if (!passing) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * PAUSE));
  }
}

const failed = (error) => (at("problem").textContent = error.message);

async function sit(route, room) {
  try {
    const seated = await ask(route, { name: at("name").value || `Player ${route}`, room });
    ({ seat, here } = seated);
    location.hash = seated.match.room;
    at("room").textContent = seated.match.room;
    at("link").href = location.href;
    document.body.dataset.screen = "match";
    if (match?.room !== seated.match.room) match = null;
    show(seated.match);
  } catch (error) {
    failed(error);
  }
}

function show(seen) {
  if (match && seen.version < match.version) return; // an answer that a push has overtaken
  match = seen;
  draw();
}

function draw() {
  if (!match) return;
  const { names, moves, first, turn, winner, wins, row } = match;
  seats.forEach((element, number) => {
    element.querySelector("b").textContent = names[number] ?? "…";
    element.querySelector("i").textContent = wins[number];
    element.classList.toggle("turn", turn === number);
    element.classList.toggle("away", number < names.length && here[number] === false);
  });
  const board = [...at("board").children];
  const heights = new Array(COLUMNS).fill(0);
  for (const hole of document.querySelectorAll(".hole")) hole.className = "hole";
  const hole = (column, height) => board[column].children[ROWS - 1 - height];
  moves.forEach((column, ply) => {
    const element = hole(column, heights[column]++);
    element.classList.add(`p${(first + ply) % 2}`);
    element.classList.toggle("last", ply === moves.length - 1);
  });
  for (const [column, height] of row) hole(column, height).classList.add("won");
  board.forEach((column, number) => {
    column.disabled = turn !== seat || heights[number] === ROWS;
    column.ariaLabel = `Column ${number + 1}, ${heights[number]} pieces`;
  });
  at("said").textContent = said(turn, winner, names);
  at("again").hidden = turn !== null || names.length < 2;
}

function said(turn, winner, names) {
  if (names.length < 2) return "Send the link to somebody, or open it in another window";
  if (winner !== null) return winner === seat ? "You have won!" : `${names[winner]} has won`;
  if (turn === null) return "A draw";
  return turn === seat ? "Your turn" : `${names[turn]} is thinking`;
}

for (let number = 0; number < COLUMNS; number++) {
  const column = document.createElement("button");
  column.className = "column";
  for (let height = 0; height < ROWS; height++) {
    column.append(Object.assign(document.createElement("span"), { className: "hole" }));
  }
  column.addEventListener("click", () => {
    ask("play", { column: number, ply: match.moves.length }).then(show, failed);
  });
  at("board").append(column);
}

at("again").addEventListener("click", () => ask("again", { round: match.round }).then(show, failed));
at("start").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("name", at("name").value);
  const room = at("number").value;
  sit(room ? "join" : "create", room);
});

at("number").value = location.hash.slice(1);
at("name").value = sessionStorage.getItem("name") ?? "";
await connect().catch(failed);
at("start").querySelector("button").disabled = false;
if (at("number").value && at("name").value) sit("join", at("number").value); // a reload
