package restore

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/layout"
)

// objects parses a multi-document YAML text.
func objects(g *WithT, text string) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for document := range strings.SplitSeq(text, "\n---\n") {
		asJSON, err := yaml.YAMLToJSON([]byte(document))
		g.Expect(err).NotTo(HaveOccurred())
		u := &unstructured.Unstructured{}
		g.Expect(u.UnmarshalJSON(asJSON)).To(Succeed(), document)
		all = append(all, u)
	}
	return all
}

// backup writes a completed backup of objects into the bucket and the cluster.
// PodVolumeBackups among them go into the list of volumes.
func (w *world) backup(t *testing.T, name, text string, mods ...func(*velerov1.Backup)) {
	t.Helper()
	var content bytes.Buffer
	a, err := archive.NewWriter(&content, clock.RealClock{})
	w.Expect(err).NotTo(HaveOccurred())
	var volumes []*unstructured.Unstructured
	for _, u := range objects(w.WithT, text) {
		if u.GetKind() == "PodVolumeBackup" {
			volumes = append(volumes, u)
			continue
		}
		raw, err := json.Marshal(u)
		w.Expect(err).NotTo(HaveOccurred())
		gvr, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
		w.Expect(a.Add(archive.Item{GroupResource: gvr.GroupResource(), Version: gvr.Version, Namespace: u.GetNamespace(), Name: u.GetName(), Object: raw})).To(Succeed())
	}
	w.Expect(a.Close()).To(Succeed())
	w.Expect(w.store.Put(t.Context(), layout.BackupContents(name), &content)).To(Succeed())
	w.Expect(putJSON(t.Context(), w.store, layout.BackupPodVolumeBackups(name), volumes)).To(Succeed())
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name},
		Spec:       velerov1.BackupSpec{StorageLocation: "default"},
		Status:     velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted, StartTimestamp: &metav1.Time{Time: time.Unix(1000, 0)}},
	}
	for _, mod := range mods {
		mod(b)
	}
	w.Expect(w.client.Create(t.Context(), b)).To(Succeed())
}

// run creates a restore of a backup and takes steps until it waits or ends.
func (w *world) run(t *testing.T, name, backup string, mods ...func(*velerov1.Restore)) *velerov1.Restore {
	t.Helper()
	r := w.restore(t, name, append([]func(*velerov1.Restore){func(r *velerov1.Restore) { r.Spec.BackupName = backup }}, mods...)...)
	w.reconcile(t, r)
	return r
}

// restored is the list of what a restore has done.
func (w *world) restored(t *testing.T, restore string) layout.ResourceList {
	t.Helper()
	var list layout.ResourceList
	w.Expect(readJSON(t.Context(), w.store, layout.RestoreResourceList(restore), &list)).To(Succeed())
	return list
}

// get reads an object.
func (w *world) get(t *testing.T, obj client.Object, namespace, name string) {
	t.Helper()
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, obj)).To(Succeed(), name)
}

func into(target string) func(*velerov1.Restore) {
	return func(r *velerov1.Restore) { r.Spec.NamespaceMapping = map[string]string{"a": target} }
}

func configMapData(t *testing.T, w *world, namespace, name string) map[string]string {
	t.Helper()
	c := &corev1.ConfigMap{}
	w.get(t, c, namespace, name)
	return c.Data
}
