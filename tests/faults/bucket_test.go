package faults

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/tests/suite"
)

// attack is what somebody who can write to the bucket does to a backup, and what
// comes of restoring it.
type attack struct {
	object func(backup string) string // its key
	become func(t *testing.T, content []byte) []byte

	phase velerov1.RestorePhase
	says  string // in the reason of a failed restore
}

// evil is the content of what must not appear anywhere.
const evil = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"evil","namespace":"kube-system"}}`

// attacks are on a backup of namespace ns.
func attacks(ns string) map[string]attack {
	contents := func(phase velerov1.RestorePhase, says string, become func(t *testing.T, archive []byte) []byte) attack {
		return attack{layout.BackupContents, become, phase, says}
	}
	entries := func(says string, more ...tarEntry) attack {
		return contents(velerov1.RestorePhaseFailed, says, func(t *testing.T, archive []byte) []byte { t.Helper(); return archiveWith(t, archive, more...) })
	}
	document := func(object func(string) string, says string, become func(t *testing.T, content []byte) []byte) attack {
		return attack{object, become, velerov1.RestorePhaseFailed, says}
	}
	fixed := func(content func(t *testing.T) []byte) func(*testing.T, []byte) []byte {
		return func(t *testing.T, _ []byte) []byte { t.Helper(); return content(t) }
	}
	half := func(_ *testing.T, content []byte) []byte { return content[:len(content)/2] }
	own := "resources/configmaps/namespaces/" + ns + "/"
	evilItem := func(name string) tarEntry { return tarEntry{name: name, body: evil} }
	return map[string]attack{
		"archive-half":      contents(velerov1.RestorePhaseFailed, "corrupt archive", half),
		"archive-empty":     contents(velerov1.RestorePhaseFailed, "corrupt archive", fixed(func(*testing.T) []byte { return nil })),
		"archive-damaged":   contents(velerov1.RestorePhaseFailed, "corrupt archive", func(_ *testing.T, b []byte) []byte { b[len(b)/2] ^= 0xff; return b }),
		"archive-up":        entries("leads out of the archive", evilItem("resources/configmaps/namespaces/../../../../../../tmp/evil.json")),
		"archive-absolute":  entries("leads out of the archive", evilItem("/tmp/evil.json")),
		"archive-symlink":   entries("not a plain file", tarEntry{name: "resources/configmaps", typ: '2', link: "/tmp"}),
		"archive-hardlink":  entries("not a plain file", tarEntry{name: "resources/configmaps/cluster/a.json", typ: '1', link: "/etc/passwd"}),
		"archive-control":   entries("control characters", evilItem(own+"\x1b[2J.json")),
		"archive-long-name": entries("250 bytes", evilItem(own+strings.Repeat("n", 300)+".json")),
		"archive-bomb":      entries("times its compressed size", zeroEntries()...),
		"archive-item": contents(velerov1.RestorePhasePartiallyFailed, "", func(t *testing.T, archive []byte) []byte {
			t.Helper()
			// Items that say they are others, or are no objects, are errors of their own.
			return archiveWith(t, archive,
				evilItem(own+"not-evil.json"),
				tarEntry{name: own + "deep.json", body: strings.Repeat("[", 5000)},
				tarEntry{name: own + "list.json", body: "[]"})
		}),
		"volumes-half":  document(layout.BackupPodVolumeBackups, "corrupt document", half),
		"volumes-type":  document(layout.BackupPodVolumeBackups, "corrupt document", fixed(func(t *testing.T) []byte { t.Helper(); return pack(t, []byte(`[{"spec":"x"}]`)) })),
		"volumes-field": document(layout.BackupPodVolumeBackups, "document too large", fixed(func(t *testing.T) []byte { t.Helper(); return packedBomb(t, `[{"spec":{"volume":"`, "x") })),
		"volumes-many":  document(layout.BackupPodVolumeBackups, "document too large", fixed(func(t *testing.T) []byte { t.Helper(); return packedBomb(t, "[", "{},") })),
		"volumes-deep":  document(layout.BackupPodVolumeBackups, "document too large", fixed(func(t *testing.T) []byte { t.Helper(); return pack(t, []byte(strings.Repeat("[", 100_000))) })),
		"info-spaces":   document(layout.BackupVolumeInfo, "document too large", fixed(func(t *testing.T) []byte { t.Helper(); return packedBomb(t, "[", " ") })),
		"info-plain":    document(layout.BackupVolumeInfo, "corrupt document", fixed(func(*testing.T) []byte { return []byte("[]") })),
		// What a restore does not need does not harm it.
		"results-damaged": {layout.BackupResults, half, velerov1.RestorePhaseCompleted, ""},
		"list-damaged":    {layout.BackupResourceList, half, velerov1.RestorePhaseCompleted, ""},
		"log-damaged":     {layout.BackupLog, half, velerov1.RestorePhaseCompleted, ""},
	}
}

// hostileBucket is a location with a healthy backup, from which attacks are made.
type hostileBucket struct {
	cluster   *suite.Cluster
	dir       string // of the bucket
	namespace string // of the application
	healthy   *velerov1.Backup
	stored    storedBackup
}

func newHostileBucket(t *testing.T, c *suite.Cluster) hostileBucket {
	t.Helper()
	g := NewWithT(t)
	name := "hostile-" + rand.String(4)
	h := hostileBucket{cluster: c, dir: filepath.Join(c.StateDir, "s3", name), namespace: c.NewNamespace(t, "hostile")}
	g.Expect(os.MkdirAll(h.dir, 0o755)).To(Succeed())
	l := location(name, func(l *velerov1.BackupStorageLocation) {
		l.Spec.ObjectStorage.Bucket = name
		l.Spec.BackupSyncPeriod = &metav1.Duration{Duration: 2 * time.Second}
	})
	c.Apply(t, l)
	t.Cleanup(func() { h.remove(t, l) })
	expectLocation(t, c, l, velerov1.BackupStorageLocationPhaseAvailable)

	c.Apply(t, suite.Pod(h.namespace, "app"), settings(h.namespace))
	pod := c.RunningPods(t, h.namespace, "app", 1)[0]
	g.Expect(os.WriteFile(filepath.Join(c.EmptyDir(pod, "data"), "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	h.healthy = suite.NewBackup(h.namespace)
	h.healthy.Spec.StorageLocation = name
	c.RunBackup(t, h.healthy)
	g.Expect(h.healthy.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", h.healthy.Status)
	h.stored = readStored(t, h.dir, h.healthy.Name)
	return h
}

func settings(ns string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "settings"}, Data: map[string]string{"a": "b"}}
}

// remove removes the location, then what a sync has made of its bucket.
func (h hostileBucket) remove(t *testing.T, l *velerov1.BackupStorageLocation) {
	t.Helper()
	g := NewWithT(t)
	ctx := context.WithoutCancel(t.Context())
	h.cluster.Remove(t, l)
	g.Expect(os.RemoveAll(h.dir)).To(Succeed())
	backups, volumes := &velerov1.BackupList{}, &velerov1.PodVolumeBackupList{}
	g.Expect(h.cluster.Client.List(ctx, backups, client.InNamespace(suite.Namespace))).To(Succeed())
	g.Expect(h.cluster.Client.List(ctx, volumes, client.InNamespace(suite.Namespace))).To(Succeed())
	for i := range backups.Items {
		if backups.Items[i].Spec.StorageLocation == l.Name {
			h.cluster.Remove(t, &backups.Items[i])
		}
	}
	for i := range volumes.Items {
		if volumes.Items[i].Spec.BackupStorageLocation == l.Name {
			h.cluster.Remove(t, &volumes.Items[i])
		}
	}
}

// attack writes a copy of the healthy backup with one object changed, and makes
// its Backup, unless a sync has been faster.
func (h hostileBucket) attack(t *testing.T, name string, a attack) *velerov1.Backup {
	t.Helper()
	copied := h.stored.as(t, h.healthy.Name+"-"+name)
	key := a.object(copied.name)
	NewWithT(t).Expect(copied.objects).To(HaveKey(key))
	copied.objects[key] = a.become(t, slices.Clone(copied.objects[key]))
	copied.write(t, h.dir)
	b := copied.backup(t, suite.Namespace)
	err := h.cluster.Client.Create(t.Context(), b.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
	}
	return b
}

// TestHostileBackups restores backups that somebody has tampered with, all at
// once and beside a healthy one.
func TestHostileBackups(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	h := newHostileBucket(t, c)
	server := serverPod(t, c)
	all := attacks(h.namespace)
	restores := map[string]*velerov1.Restore{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := suite.NewRestore(h.attack(t, name, all[name]), "")
		r.Spec.NamespaceMapping = map[string]string{h.namespace: r.Name}
		c.CleanNamespace(t, r.Name)
		t.Cleanup(func() { c.Remove(t, r) })
		restores[name] = r
	}

	for _, name := range slices.Sorted(maps.Keys(restores)) {
		c.Apply(t, restores[name])
	}
	healthy := suite.NewRestore(h.healthy, "")
	healthy.Spec.NamespaceMapping = map[string]string{h.namespace: healthy.Name}
	c.CleanNamespace(t, healthy.Name)
	c.Apply(t, healthy)

	c.FinishedRestore(t, healthy)
	g.Expect(healthy.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", healthy.Status)
	g.Expect(c.FirstLog(t, c.RunningPods(t, healthy.Name, "app", 1)[0], "app")).To(Equal("at start: the data is here"))
	for name, r := range restores {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c.FinishedRestore(t, r)
			g.Expect(r.Status.Phase).To(Equal(all[name].phase), "%+v", r.Status)
			g.Expect(r.Status.FailureReason).To(ContainSubstring(all[name].says))
			g.Expect(len(r.Status.FailureReason)).To(BeNumerically("<", 4000))
			if all[name].phase == velerov1.RestorePhaseFailed {
				err := c.Client.Get(t.Context(), client.ObjectKey{Name: r.Name}, &corev1.Namespace{})
				g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "nothing was made of it: %v", err)
			}
		})
	}
	expectUntouched(t, c, server)
}

// TestHostileMetadata has a location synced in which the Backup objects
// themselves are hostile. None of them reaches the cluster, and a healthy one
// beside them does.
func TestHostileMetadata(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	h := newHostileBucket(t, c)
	server := serverPod(t, c)
	metadata := string(h.stored.objects[layout.BackupMetadata(h.healthy.Name)])
	hostile := map[string]string{
		"half":      metadata[:len(metadata)/2],
		"empty":     "",
		"list":      "[]",
		"type":      `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"x","labels":["a"]}}`,
		"kind":      `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}`,
		"field":     `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"` + strings.Repeat("x", 2<<20) + `"}}`,
		"deep":      strings.Repeat(`{"spec":`, 10_000),
		"name":      strings.ReplaceAll(metadata, h.healthy.Name, "else"),
		"path":      strings.ReplaceAll(metadata, h.healthy.Name, "../../else"),
		"nul":       strings.ReplaceAll(metadata, h.healthy.Name, `else\u0000`),
		"spaces":    "{" + strings.Repeat(" ", 4<<20),
		"oversized": strings.Repeat("[", 64<<20),
	}
	for name, content := range hostile {
		copied := h.stored.as(t, h.healthy.Name+"-"+name)
		copied.objects[layout.BackupMetadata(copied.name)] = []byte(content)
		copied.write(t, h.dir)
	}
	second := h.stored.as(t, h.healthy.Name+"-zz-healthy")
	second.write(t, h.dir)

	g.Eventually(func(g Gomega) {
		b := &velerov1.Backup{}
		g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: second.name}, b)).To(Succeed())
		g.Expect(c.VolumeBackups(t, b)).To(HaveLen(1))
	}, suite.Long).Should(Succeed(), "the healthy one is synced")

	backups := &velerov1.BackupList{}
	g.Expect(c.Client.List(t.Context(), backups, client.InNamespace(suite.Namespace))).To(Succeed())
	var names []string
	for _, b := range backups.Items {
		if strings.HasPrefix(b.Name, h.healthy.Name) || b.Name == "else" {
			names = append(names, b.Name)
		}
	}
	g.Expect(names).To(ConsistOf(h.healthy.Name, second.name))
	l := &velerov1.BackupStorageLocation{}
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: h.healthy.Spec.StorageLocation}, l)).To(Succeed())
		g.Expect(l.Status.Conditions).To(ContainElement(And(HaveField("Type", velerov1.ConditionSynced),
			HaveField("Status", metav1.ConditionFalse), HaveField("Message", ContainSubstring(h.healthy.Name+"-deep")))))
	}, suite.Short).Should(Succeed(), "people are told what is not synced")
	g.Expect(l.Status.Phase).To(Equal(velerov1.BackupStorageLocationPhaseAvailable), l.Status.Message)
	expectUntouched(t, c, server)
}

// serverPod is the running pod of the server.
func serverPod(t *testing.T, c *suite.Cluster) corev1.Pod {
	t.Helper()
	pods := &corev1.PodList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), pods, client.InNamespace(suite.Namespace), client.MatchingLabels{"deploy": "velero"})).To(Succeed())
	for _, p := range pods.Items {
		if p.DeletionTimestamp.IsZero() && len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready {
			return p
		}
	}
	t.Fatalf("no server is ready: %d pods", len(pods.Items))
	return corev1.Pod{}
}

// expectUntouched checks that the server has not died, and that its scratch
// folder has nothing left of what it has read.
func expectUntouched(t *testing.T, c *suite.Cluster, before corev1.Pod) {
	t.Helper()
	g := NewWithT(t)
	after := serverPod(t, c)
	g.Expect(after.UID).To(Equal(before.UID))
	g.Expect(after.Status.ContainerStatuses[0].RestartCount).To(Equal(before.Status.ContainerStatuses[0].RestartCount), "%+v", after.Status.ContainerStatuses[0].LastTerminationState)
	scratch := c.EmptyDir(after, "scratch")
	g.Eventually(func() []string {
		left, err := filepath.Glob(filepath.Join(scratch, "*"))
		g.Expect(err).NotTo(HaveOccurred())
		return slices.DeleteFunc(left, func(name string) bool { return filepath.Base(name) == "credentials" })
	}, suite.Short).Should(BeEmpty())
	for _, name := range []string{"/tmp/evil.json", filepath.Join(filepath.Dir(scratch), "evil.json")} {
		_, err := os.Lstat(name)
		g.Expect(err).To(MatchError(os.ErrNotExist), name)
	}
	err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "evil"}, &corev1.ConfigMap{})
	g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
}
