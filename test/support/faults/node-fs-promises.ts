import { setImmediate } from "node:timers/promises";
import { systemError } from "./disk.ts";
import { files } from "./files.ts";

/** `node:fs/promises` as the modules of the durable path see it in a test; see hooks.ts. */

async function later<T>(act: () => T): Promise<T> {
  await setImmediate();
  return act();
}

class FileHandle {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  readonly writeFile = (text: string): Promise<unknown> =>
    later(() => files.write(this.#fd, Buffer.from(text)));
  readonly appendFile = this.writeFile;
  readonly sync = (): Promise<void> => later(() => files.sync(this.#fd));
  readonly datasync = this.sync;
  readonly close = (): Promise<void> => later(() => files.close(this.#fd));
}

export function open(path: string, flags: string): Promise<FileHandle> {
  return later(() => new FileHandle(files.open(path, flags)));
}

export function mkdir(path: string): Promise<string | undefined> {
  return later(() => files.makeDirectory(path));
}

export default {
  open,
  mkdir,
  rename: (from: string, to: string) => later(() => files.rename(from, to)),
  link: (from: string, to: string) => later(() => files.link(from, to)),
  unlink: (path: string) => later(() => files.unlink(path)),
  readFile: (path: string, encoding?: BufferEncoding) =>
    later(() => {
      const bytes = files.readFile(path);
      return encoding === undefined ? bytes : bytes.toString(encoding);
    }),
  writeFile: (path: string, text: string) =>
    later(() => {
      const fd = files.open(path, "w");
      files.write(fd, Buffer.from(text));
      files.close(fd);
    }),
  access: (path: string) =>
    later(() => {
      if (!files.exists(path)) throw systemError("ENOENT", "access", path);
    }),
};
