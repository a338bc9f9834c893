// Paints what the server says of a drawing.

const $ = id => document.getElementById(id);
const make = (tag, parent, text = '') => {
  const element = document.createElement(tag);
  element.textContent = text;
  return parent.appendChild(element);
};

// ---- Colours ----

// For each byte a colour, in the order of bytes of `ImageData`.
const grey = Uint32Array.from({ length: 256 }, (_, i) => rgb([i, i, i]));
let signed = grey; // from minus by zero, at 128, to plus

function rgb(parts) {
  return new Uint32Array(new Uint8ClampedArray([...parts, 255]).buffer)[0];
}

function mixColors() {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue(name).split(',').map(Number);
  const [zero, plus, minus] = [color('--zero'), color('--plus'), color('--minus')];
  signed = Uint32Array.from({ length: 256 }, (_, i) => {
    const far = Math.min(1, Math.abs(i - 128) / 127) ** 0.8;
    const end = i < 128 ? minus : plus;
    return rgb(zero.map((z, k) => z + far * (end[k] - z)));
  });
}

/** Fills a canvas with pixels, [height, width] of them, in these colours. */
function fill(canvas, [h, w], pixels, colors) {
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const picture = new ImageData(w, h);
  const words = new Uint32Array(picture.data.buffer);
  pixels.forEach((pixel, i) => { words[i] = colors[pixel]; });
  canvas.getContext('2d').putImageData(picture, 0, 0);
}

// ---- What the server says ----

const bars = Array.from({ length: 5 }, () => {
  const item = make('li', $('bars'));
  const bar = { name: make('b', item), track: make('i', item), percent: make('em', item) };
  bar.fill = make('span', bar.track);
  return bar;
});
const bands = ['LL: mean', 'LH: top − bottom', 'HL: left − right', 'HH: diagonals'].map(name => {
  const figure = make('figure', $('bands'));
  const canvas = make('canvas', figure);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', name);
  make('figcaption', figure, name);
  return canvas;
});
let last = null; // the last reply
let lastWorth = null;

function percent(p) {
  return `${(100 * p).toFixed(1)}\u00a0%`;
}

function show(reply) {
  last = reply;
  bars.forEach((bar, i) => {
    const [name, p] = reply?.classes[i] ?? ['', 0];
    bar.name.textContent = name;
    bar.fill.style.width = `${100 * p}%`;
    bar.percent.textContent = name && percent(p);
  });
  $('time').textContent = reply && `The model and its maps took ${reply.ms.toFixed(1)} ms.`;
  showSteps(reply);
  showMaps(reply);
}

const small = document.createElement('canvas');

/** A black canvas of DRAWN pixels; `picture` fills it from `corner`, in pixels of a 28th. */
function blacken(name, picture, [top, left]) {
  const context = $(name).getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, DRAWN, DRAWN);
  context.strokeStyle = '#ff6a4a';
  context.lineWidth = 2;
  context.imageSmoothingEnabled = false;
  if (picture) {
    const [h, w] = picture.size;
    fill(small, picture.size, picture.pixels, grey);
    context.drawImage(small, 8 * left, 8 * top, 8 * w, 8 * h);
  }
  return context;
}

/** What is said aloud, once the pen rests. */
function say() {
  $('said').textContent = last ? `It reads ${last.classes[0][0]}.` : 'A digit or a letter, as large as you like.';
}

function showSteps(reply) {
  const boxed = blacken('boxed', null, [0, 0]);
  const fitted = reply?.fitted;
  const [h, w] = fitted?.size ?? [0, 0];
  const middle = [(28 - h) >> 1, (28 - w) >> 1];
  const scaled = blacken('fitted', fitted, middle);
  const image = blacken('image', reply?.image, [0, 0]);
  bands.forEach((canvas, i) => {
    const flat = new Array(14 * 14).fill(i ? 128 : 0);
    fill(canvas, [14, 14], reply?.haar.bands[i] ?? flat, i ? signed : grey);
  });
  if (!reply) return;
  boxed.drawImage(sheet, 0, 0);
  boxed.strokeRect(...reply.box);
  scaled.strokeRect(8 * middle[1], 8 * middle[0], 8 * w, 8 * h);
  image.strokeRect(8 * reply.corner[1], 8 * reply.corner[0], 8 * w, 8 * h);
  image.beginPath(); // a cross in the middle
  for (const [x, y] of [[6, 0], [0, 6]]) {
    image.moveTo(DRAWN / 2 - x, DRAWN / 2 - y);
    image.lineTo(DRAWN / 2 + x, DRAWN / 2 + y);
  }
  image.stroke();
}

function showWorth(reply) {
  lastWorth = reply;
  if (!reply) {
    fill($('worth'), [28, 28], new Array(28 * 28).fill(128), signed);
    $('worth-text').textContent = 'Red pixels speak for the answer, blue ones against it.';
    return;
  }
  fill($('worth'), reply.size, reply.pixels, signed);
  const { side, class: name, probability, largest } = reply;
  $('worth-text').textContent = `${name} is ${percent(probability)} likely, and up to ${percent(largest)} less (red) or `
    + `more (blue) with ${side}\u00a0×\u00a0${side} pixels hidden.`;
}

// ---- Feature maps ----

let chosen = [0, 0]; // block and channel
let tiles = []; // for each block its buttons

function buildTiles(blocks) {
  $('blocks').replaceChildren();
  tiles = blocks.map((block, b) => {
    const row = make('div', $('blocks'));
    row.className = 'block';
    const [h, w, c] = block.size;
    make('p', row, `${block.name}\n${h} × ${w} × ${c}`);
    const group = make('div', row);
    group.className = 'tiles';
    group.setAttribute('role', 'group');
    group.setAttribute('aria-label', `Channels of ${block.name}`);
    return block.channels.map((_, c) => {
      const button = make('button', group);
      button.type = 'button';
      button.setAttribute('aria-label', `${block.name}, channel ${c}`);
      make('canvas', button);
      button.addEventListener('click', () => choose(b, c));
      return button;
    });
  });
  choose(Math.min(chosen[0], blocks.length - 1), 0);
}

function choose(b, c) {
  chosen = [b, c];
  tiles.forEach((row, i) => row.forEach((button, k) => {
    const is = i === b && k === c;
    button.setAttribute('aria-pressed', is);
    button.tabIndex = is ? 0 : -1; // one stop for the tab key; arrows go on from there
  }));
  showLarge();
}

$('blocks').addEventListener('keydown', event => {
  const to = ARROWS[event.key];
  if (!to) return;
  event.preventDefault();
  const wide = getComputedStyle(document.querySelector('.tiles')).gridTemplateColumns.split(' ').length;
  let [b, c] = [chosen[0], chosen[1] + to[0] + to[1] * wide];
  if (c < 0 && b > 0) c += tiles[--b].length;
  else if (c >= tiles[b].length && b + 1 < tiles.length) c -= tiles[b++].length;
  c = Math.min(tiles[b].length - 1, Math.max(0, c));
  choose(b, c);
  tiles[b][c].focus();
});

function showMaps(reply) {
  if (!reply) {
    for (const canvas of document.querySelectorAll('#blocks canvas, #large')) {
      canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height);
    }
    return;
  }
  const counts = blocks => blocks.map(block => block.length).join();
  if (counts(tiles) !== counts(reply.blocks.map(block => block.channels))) buildTiles(reply.blocks);
  reply.blocks.forEach((block, b) => block.channels.forEach((pixels, c) => {
    fill(tiles[b][c].firstChild, block.size, pixels, signed);
  }));
  showLarge();
}

function showLarge() {
  const block = last?.blocks[chosen[0]];
  if (!block) return;
  const channel = chosen[1];
  fill($('large'), block.size, block.channels[channel], signed);
  const largest = block.largest[channel].toFixed(2);
  $('large-text').textContent = `${block.name}, channel ${channel}: red is positive, blue negative, `
    + `up to ±${largest}. Click a map, or go by arrow keys.`;
}
