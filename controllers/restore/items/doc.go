// Package items decides which objects of an archive are restored, in which order
// and in which form.
//
// It is pure: objects in, verdicts and objects out. It knows neither the
// archive's format nor the cluster; controllers/restore gathers the facts and
// creates what this package returns. What is removed from objects, and why, is
// in docs/restore.md; the list of Velero's steps is in velero-facts §11.6.
package items
