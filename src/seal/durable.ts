import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Replaces the file at `path` by `text`: whoever reads it, also after a crash, finds the old text or the new one.
 * When it resolves, the new one is durable (fsync, rename, fsync of the directory).
 */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await fs.open(temporary, "w", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await fs.rename(temporary, path);
  await syncDirectory(dirname(path));
}

/**
 * Makes a file at `path` that holds `text`, unless there is one.
 * Returns: whether it was made; then it is durable. No crash and no second process leaves half of it.
 */
export async function createFile(path: string, text: string, mode: number): Promise<boolean> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await fs.open(temporary, "w", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    // A link fails where a rename would replace.
    await fs.link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await fs.unlink(temporary);
  }
  await syncDirectory(dirname(path));
  return true;
}

/** The text of the file at `path`, or null when there is none. */
export async function readFileIfAny(path: string): Promise<string | null> {
  try {
    return await fs.readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Makes `directory` and its parents, durably. */
export async function makeDirectory(directory: string, mode: number): Promise<void> {
  const topmost = await fs.mkdir(directory, { recursive: true, mode });
  if (topmost === undefined) return;
  for (let made = directory; ; made = dirname(made)) {
    await syncDirectory(dirname(made));
    if (made === topmost) return;
  }
}

/** Makes creations, removals and new names in `directory` durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const file = await fs.open(directory, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
