// Package modifiers changes objects before they are restored, as the rules in a
// ConfigMap say.
//
// It is pure: text in, rules out; an object in, another one out. Rules are read
// strictly: what is not understood is a problem with the path of its field, never
// left out. The ConfigMap is read, and the objects are written, by
// controllers/restore.
//
// The format is that of Velero's restore resource modifiers, version v1
// (https://velero.io/docs/main/restore-resource-modifiers): JSON patches (RFC
// 6902), JSON merge patches (RFC 7386) and strategic merge patches of Kubernetes.
package modifiers
