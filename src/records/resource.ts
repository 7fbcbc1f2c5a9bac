import { AttributeList } from "./attributes.ts";

/** Resource and scope of the records that follow, as positions in their own bytes. */
export class ScopeView {
  /** Bytes that the ranges of the resource refer to. */
  resourceBuffer: Uint8Array = new Uint8Array(0);
  readonly resourceAttributes = new AttributeList();
  /** Schema URL of the resource. */
  resourceSchemaUrl: Uint8Array = new Uint8Array(0);
  /** Bytes that the ranges of the scope refer to. */
  scopeBuffer: Uint8Array = new Uint8Array(0);
  nameStart = 0;
  nameEnd = 0;
  versionStart = 0;
  versionEnd = 0;
  readonly scopeAttributes = new AttributeList();
  /** Schema URL of the scope. */
  scopeSchemaUrl: Uint8Array = new Uint8Array(0);
}
