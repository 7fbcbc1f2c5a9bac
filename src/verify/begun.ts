/** `batches`, asked for the first one already: the work behind it begins while the caller does something else. */
export function begun<T>(batches: AsyncIterable<T>): AsyncIterable<T> {
  const iterator = batches[Symbol.asyncIterator]();
  const first = iterator.next();
  // Whoever iterates gets the error; until then it is no unhandled one.
  first.catch(() => {});
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (let next = await first; next.done !== true; next = await iterator.next())
          yield next.value;
      } finally {
        await iterator.return?.();
      }
    },
  };
}
