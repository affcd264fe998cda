// A judgement on its way: sent until the server says something, under one key, also after a reload.

import { api, memory, user } from "../app.js";

const PREFIX = "outbox:";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Send a judgement, kept in this browser before anything else, once ``before`` is through. ``waiting(true)`` while the
 * server cannot be reached, and why. Throws what the server refuses.
 */
export async function send(path, assignment, action, body, { waiting, before }) {
  const letter = { path, assignment, action, body, key: crypto.randomUUID(), user };
  memory.set(PREFIX + assignment, letter);
  await before?.();
  return deliver(letter, waiting);
}

async function deliver(letter, waiting) {
  for (let pause = 1000; ; pause = Math.min(15_000, pause * 1.6)) {
    try {
      const done = await api("POST", `${letter.path}/${letter.action}`, letter.body, { headers: { "idempotency-key": letter.key } });
      memory.remove(PREFIX + letter.assignment);
      waiting(false);
      return done;
    } catch (error) {
      if (!error.passing) {
        memory.remove(PREFIX + letter.assignment);
        waiting(false);
        throw error;
      }
      waiting(true, error);
      // Sooner, if the browser says that the line is back.
      await Promise.race([wait(Math.max(pause, 1000 * error.wait)), new Promise((resolve) => addEventListener("online", resolve, { once: true }))]);
    }
  }
}

/** Whether a judgement is kept here until it has arrived. */
export const isKept = (assignment) => memory.get(PREFIX + assignment) !== null;

/** What an earlier page could not send. Returns how many were delivered. */
export async function flush(waiting) {
  let count = 0;
  for (const name of memory.keys(PREFIX)) {
    const letter = memory.get(name);
    if (!letter || letter.user !== user) continue;
    try {
      await deliver(letter, waiting);
      memory.remove(`draft:${letter.assignment}`);
      count += 1;
    } catch {
      // The server has said no: the draft is still there, and is shown again with the item.
    }
  }
  return count;
}
