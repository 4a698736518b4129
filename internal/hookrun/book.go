// Package hookrun runs hooks and keeps the record of them in the cluster.
//
// A record lives in a ConfigMap. That a command is about to be run is written
// there before it is, and how it ended after: a server that starts anew sees which
// commands may have done something. What that means, and which hook is next, is
// decided by controllers/backup and controllers/restore; the record itself is that
// of internal/hooks.
package hookrun

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hooks"
)

// dataKey is the key of the record in its ConfigMap.
const dataKey = "hooks.json"

// Book is a record and the ConfigMap that it is kept in.
type Book struct {
	Object *corev1.ConfigMap
	Record hooks.Record

	// Broken says why the record cannot be read; then Record is empty.
	Broken error
}

// New returns the ConfigMap of a record whose turn has not come.
func New(meta metav1.ObjectMeta, record hooks.Record) (*corev1.ConfigMap, error) {
	text, err := record.Encode()
	if err != nil {
		return nil, err
	}
	cm := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{dataKey: text}}
	cm.Labels[velerov1.HooksLabel] = velerov1.HooksWaiting
	return cm, nil
}

// Open reads the record of a ConfigMap.
func Open(cm *corev1.ConfigMap) *Book {
	b := &Book{Object: cm}
	b.Record, b.Broken = hooks.Decode(cm.Data[dataKey])
	return b
}

// Phase is the value of velerov1.HooksLabel.
func (b *Book) Phase() string { return b.Object.Labels[velerov1.HooksLabel] }

// SetPhase changes the label of o, which may be metadata only.
func SetPhase(o client.Object, phase string) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[velerov1.HooksLabel] = phase
	o.SetLabels(labels)
}

// Save writes what change does to the book. It fails when somebody else has
// written the ConfigMap since it was read; then the book is as it was before.
func Save(ctx context.Context, c client.Client, b *Book, change func(*Book)) error {
	before := b.Object.DeepCopy()
	change(b)
	if b.Broken == nil {
		text, err := b.Record.Encode()
		if err != nil {
			*b = *Open(before)
			return err
		}
		if b.Object.Data == nil {
			b.Object.Data = map[string]string{}
		}
		b.Object.Data[dataKey] = text
	}
	if equality.Semantic.DeepEqual(before, b.Object) {
		return nil
	}
	if err := c.Patch(ctx, b.Object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		*b = *Open(before)
		return fmt.Errorf("writing the record of hooks %s: %w", b.Object.Name, err)
	}
	return nil
}

// Mark writes down what has come of runs, by index, at a time.
func (b *Book) Mark(runs map[int]hooks.Run, at time.Time) {
	for i, run := range runs {
		run.EndedAt = &metav1.Time{Time: at}
		b.Record.Runs[i] = run
	}
}
