// Package describe puts Velero's objects into words: the columns of "get", the
// pages of "describe", and the result that ends "create --wait".
//
// It is pure: objects and files of the bucket in, text or plain values out. It
// reads no cluster, no bucket and no clock, so what it prints can be compared with
// golden files. Layouts follow Velero's client (velero-facts §8.7–8.11), because
// scripts read them; podkeep's own sections come in addition. Whatever comes from
// the bucket may come from a stranger: no text of it reaches a terminal with
// control characters.
package describe
