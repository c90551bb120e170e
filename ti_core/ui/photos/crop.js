// Where the frame of a crop lies: numbers only, as data/crops.py has them.
/* global photos, boxesOf */
/* exported shapeBox, cropOf, movedCrop, LEAST_SCALE */

const LEAST_SCALE = 0.05;
const within = (low, value, high) => Math.min(Math.max(low, value), high);

// Left, top, width and height, as shares, of a part with the finished pictures' shape around `middle`; `scale` is its
// side as a share of the largest one.
function shapeBox(size, middle, scale) {
  const { width, height } = photos.asked.settings;
  const share = scale * Math.min(size[0] / width, size[1] / height);
  const [w, h] = [(share * width) / size[0], (share * height) / size[1]];
  const left = within(0, middle[0] - w / 2, Math.max(0, 1 - w));
  const top = within(0, middle[1] - h / 2, Math.max(0, 1 - h));
  return [left, top, w, h];
}

// The crop as a person would go on from: their own, else the program's one.
function cropOf(row, size) {
  if (row.edit.middle) return { middle: row.edit.middle, scale: row.edit.scale ?? 1 };
  const boxes = boxesOf(row);
  if (boxes.length !== 1) return { middle: [0.5, 0.5], scale: 1 };
  const [left, top, width, height] = boxes[0];
  const [, , w, h] = shapeBox(size, [0.5, 0.5], 1);
  const scale = within(LEAST_SCALE, Math.max(width / w, height / h), 1);
  return { middle: [left + width / 2, top + height / 2], scale };
}

// A crop that was moved by shares of the sides and scaled, with its middle where the frame can be.
function movedCrop(size, { middle, scale }, [x, y], by = 1) {
  const next = within(LEAST_SCALE, scale * by, 1);
  const [left, top, w, h] = shapeBox(size, [middle[0] + x, middle[1] + y], next);
  const round = (value) => Math.round(value * 1e4) / 1e4;
  return { middle: [round(left + w / 2), round(top + h / 2)], scale: round(next) };
}
