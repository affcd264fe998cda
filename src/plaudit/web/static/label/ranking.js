// A ranking as groups of letters, best first, ties together; pure functions that return a new one.

const sorted = (group) => [...group].sort();

/** The order in which the answers are shown, nothing tied. */
export const asShown = (letters) => letters.map((letter) => [letter]);

export const indexOf = (groups, letter) => groups.findIndex((group) => group.includes(letter));

const without = (groups, letter) =>
  groups.map((group) => group.filter((other) => other !== letter)).filter((group) => group.length);

/** One step better: out of a tie, or above the next group. */
export function up(groups, letter) {
  const at = indexOf(groups, letter);
  if (groups[at].length > 1) return insert(groups, letter, at);
  return at === 0 ? groups : insert(groups, letter, at - 1);
}

/** One step worse. */
export function down(groups, letter) {
  const at = indexOf(groups, letter);
  if (groups[at].length > 1) return insert(groups, letter, at + 1);
  return at === groups.length - 1 ? groups : insert(groups, letter, at + 1);
}

function insert(groups, letter, at) {
  const rest = without(groups, letter);
  return [...rest.slice(0, at), [letter], ...rest.slice(at)];
}

/** Tie with the group above (the best with the one below); out of a tie, below it. */
export function tie(groups, letter) {
  const at = indexOf(groups, letter);
  if (groups[at].length > 1) return insert(groups, letter, at + 1);
  if (groups.length === 1) return groups;
  return join(groups, letter, groups[at === 0 ? 1 : at - 1][0]);
}

/** Into the group of another answer. */
export function join(groups, letter, other) {
  if (letter === other) return groups;
  return without(groups, letter).map((group) => (group.includes(other) ? sorted([...group, letter]) : group));
}

/** Into a group of its own, before or after the group of another answer. */
export function beside(groups, letter, other, after) {
  if (letter === other) return groups;
  const rest = without(groups, letter);
  const at = indexOf(rest, other) + (after ? 1 : 0);
  return [...rest.slice(0, at), [letter], ...rest.slice(at)];
}

/** Place by letter: {rank, tied}. Ranks count answers, so after a tie of two comes rank 3. */
export function places(groups) {
  const found = {};
  let before = 0;
  for (const group of groups) {
    for (const letter of group) found[letter] = { rank: before + 1, tied: group.length > 1 };
    before += group.length;
  }
  return found;
}

/** "C is better than A and B, which are tied" in short: C › A = B. */
export const short = (groups) => groups.map((group) => group.join(" = ")).join(" › ");

/** Where an answer stands, in words. */
export function spoken(groups, letter) {
  const { rank } = places(groups)[letter];
  const count = groups.flat().length;
  const others = groups[indexOf(groups, letter)].filter((other) => other !== letter);
  return `Answer ${letter}: rank ${rank} of ${count}${others.length ? `, tied with ${others.join(" and ")}` : ""}`;
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
