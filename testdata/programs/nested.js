// node nested.js SECONDS: main calls outer, outer calls middle, middle calls hot; a sort calls back.
'use strict';
function hot(turns, x) {
  for (let i = 0; i < turns; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
}
function middle(x) {
  let sum = 0;
  for (let i = 0; i < 20; i++) sum = (sum + hot(3000, x + i)) | 0;
  return sum;
}
function compare(a, b) {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
function sorts(x) {
  const items = [];
  for (let i = 0; i < 100; i++) items.push({ key: String(Math.imul(x + i, 1664525) >>> 0) });
  return items.sort(compare)[0].key.length;
}
function outer(until) {
  let x = 1;
  while (Date.now() < until) x = (middle(x) + sorts(x)) | 0;
  return x;
}
function main() {
  const seconds = Number(process.argv[2] || 1);
  console.error(outer(Date.now() + seconds * 1000));
}
main();
