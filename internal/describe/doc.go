// Package describe puts Velero's objects into words: the columns of "get", the
// pages of "describe", and the result that ends "create --wait".
//
// It is pure: objects in, text or plain values out. It reads no cluster, no
// bucket and no clock, so what it prints can be compared with golden files. What
// only the bucket knows (single warnings and errors of items) it cannot print;
// it says where that is. Layouts follow Velero's client (velero-facts §8.7–8.11),
// because scripts read them; podkeep's own sections come in addition.
package describe
