package deletion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/wire"
)

var (
	errTerminal = errors.New("wrong password")
	errCrash    = errors.New("the server dies here")
)

// world is an API server without controllers, a bucket in a directory, and
// repositories that are lists of snapshots. The test plays the other controllers.
type world struct {
	*WithT
	client     client.Client
	clock      *clocktesting.FakePassiveClock
	store      *store
	reconciler *Reconciler

	// snapshots are those in the repositories, by namespace and ID.
	snapshots map[string]bool

	// repositoryErr is returned by the next deletions of snapshots.
	repositoryErr error

	// crashAt kills the server after the call of that number to bucket, repositories
	// or API server; 0 means never.
	calls, crashAt int
	kill           context.CancelFunc
}

// call counts one call and kills the server when it is its turn.
func (w *world) call(err error) error {
	w.calls++
	if err == nil && w.calls == w.crashAt {
		w.kill()
		return errCrash
	}
	return err
}

// store is a real store that counts writes.
type store struct {
	objectstore.Store
	world *world
	err   error
}

func (s *store) Put(ctx context.Context, key string, body io.Reader) error {
	return s.world.call(s.Store.Put(ctx, key, body))
}

func (s *store) Delete(ctx context.Context, key string) error {
	if s.err != nil {
		return s.err
	}
	return s.world.call(s.Store.Delete(ctx, key))
}

// Store implements Locations.
func (w *world) Store(context.Context, string) (objectstore.Store, *velerov1.BackupStorageLocation, error) {
	return w.store, nil, nil
}

// Resolve implements Locations.
func (w *world) Resolve(_ context.Context, bsl *velerov1.BackupStorageLocation) (location.Location, error) {
	return location.Location{Name: bsl.Name}, nil
}

// RepositoryPasswordFile implements Locations.
func (w *world) RepositoryPasswordFile(context.Context) (string, error) { return "/password", nil }

func (w *world) deleteSnapshots(_ context.Context, r wire.Repository, ids []string) error {
	if w.repositoryErr != nil {
		return w.repositoryErr
	}
	for _, id := range ids {
		delete(w.snapshots, r.Namespace+"/"+id)
	}
	return w.call(nil)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so deletions are not tried on an API server")
	}
	w := &world{WithT: NewWithT(t), snapshots: map[string]bool{}, clock: clocktesting.NewFakePassiveClock(time.Now())}
	crds, err := crd.All()
	w.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(env.Stop()).To(Succeed()) })
	config.QPS = -1
	scheme := runtime.NewScheme()
	w.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	w.client, err = client.New(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	counting, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	writer := interceptor.NewClient(counting, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
			return w.call(c.Patch(ctx, obj, p, opts...))
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return w.call(c.Delete(ctx, obj, opts...))
		},
	})
	inner, err := objectstore.Open(t.Context(), location.Location{
		Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: t.TempDir()},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.store = &store{Store: inner, world: w}
	w.Expect(w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}})).To(Succeed())
	l := bsl()
	l.Namespace, l.Spec.Provider = "velero", "aws"
	l.Spec.ObjectStorage = &velerov1.ObjectStorageLocation{Bucket: "b"}
	w.Expect(w.client.Create(t.Context(), l)).To(Succeed())
	w.reconciler = &Reconciler{
		Client: writer, Reader: writer, Locations: w, Clock: w.clock, Recorder: events.NewFakeRecorder(1000), Namespace: "velero", ScratchDir: t.TempDir(),
		Repositories: Repositories{
			DeleteSnapshots: w.deleteSnapshots,
			Reason:          func(error) string { return "" },
			IsTerminal:      func(err error) bool { return errors.Is(err, errTerminal) },
		},
	}
	return w
}

// backup creates a backup of two volumes in two namespaces. One PodVolumeBackup is
// in the cluster, both are in the bucket.
func (w *world) backup(t *testing.T, name string, mods ...backupMod) *velerov1.Backup {
	t.Helper()
	b := completed(mods...)
	b.Name = name
	w.Expect(w.client.Create(t.Context(), b)).To(Succeed())
	var volumes []velerov1.PodVolumeBackup
	for _, namespace := range []string{"shop", "blog"} {
		v := velerov1.PodVolumeBackup{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "velero", Name: name + "-" + namespace,
				Labels: map[string]string{velerov1.BackupNameLabel: name, velerov1.BackupUIDLabel: string(b.UID)},
			},
			Spec: velerov1.PodVolumeBackupSpec{
				Node: "n", Volume: "data", BackupStorageLocation: "default", RepoIdentifier: "r", UploaderType: "kopia",
				Pod: corev1.ObjectReference{Namespace: namespace, Name: "app"},
			},
			Status: velerov1.PodVolumeBackupStatus{Phase: velerov1.PodVolumeBackupPhaseCompleted, SnapshotID: name},
		}
		volumes = append(volumes, v)
		w.snapshots[namespace+"/"+name] = true
	}
	w.Expect(w.client.Create(t.Context(), volumes[0].DeepCopy())).To(Succeed())
	if b.Status.Phase != velerov1.BackupPhaseFailed {
		data, err := layout.EncodeBackup(b)
		w.Expect(err).NotTo(HaveOccurred())
		w.put(t, layout.BackupMetadata(name), data)
	}
	var list bytes.Buffer
	w.Expect(layout.EncodeJSONGzip(&list, volumes)).To(Succeed())
	w.put(t, layout.BackupPodVolumeBackups(name), list.Bytes())
	w.put(t, layout.BackupLog(name), []byte("log"))
	return b
}

func (w *world) put(t *testing.T, key string, data []byte) {
	t.Helper()
	w.Expect(w.store.Store.Put(t.Context(), key, bytes.NewReader(data))).To(Succeed())
}

func (w *world) request(t *testing.T, b *velerov1.Backup, name string) *velerov1.DeleteBackupRequest {
	t.Helper()
	r := &velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name}, Spec: velerov1.DeleteBackupRequestSpec{BackupName: b.Name},
	}
	w.Expect(w.client.Create(t.Context(), r)).To(Succeed())
	return r
}

// reconcile looks at the request once.
func (w *world) reconcile(t *testing.T, r *velerov1.DeleteBackupRequest) (ctrl.Result, error) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	w.kill = kill
	return w.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(r)})
}

// untilRest reconciles until nothing is to do now.
func (w *world) untilRest(t *testing.T, r *velerov1.DeleteBackupRequest) {
	t.Helper()
	for range 20 {
		result, err := w.reconcile(t, r)
		w.Expect(err).NotTo(HaveOccurred())
		if result.RequeueAfter != goOn {
			w.Expect(client.IgnoreNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(r), r))).To(Succeed())
			return
		}
	}
	t.Fatal("it does not come to rest")
}

func (w *world) exists(t *testing.T, obj client.Object) bool {
	t.Helper()
	err := w.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj.DeepCopyObject().(client.Object))
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return !apierrors.IsNotFound(err)
}

func (w *world) keys(t *testing.T, b *velerov1.Backup) []string {
	t.Helper()
	keys, err := w.store.List(t.Context(), layout.BackupPrefix(b.Name))
	w.Expect(err).NotTo(HaveOccurred())
	return keys
}

func (w *world) snapshotsOf(b *velerov1.Backup) []string {
	var found []string
	for key := range w.snapshots {
		if strings.HasSuffix(key, "/"+b.Name) {
			found = append(found, key)
		}
	}
	return found
}

// expectGone checks that nothing of a backup is left.
func (w *world) expectGone(t *testing.T, b *velerov1.Backup, r *velerov1.DeleteBackupRequest) {
	t.Helper()
	w.Expect(w.snapshotsOf(b)).To(BeEmpty())
	w.Expect(w.keys(t, b)).To(BeEmpty())
	w.Expect(w.exists(t, b)).To(BeFalse())
	w.Expect(w.exists(t, r)).To(BeFalse())
}

// wouldSync is the phase with which another cluster would import the backup from
// the bucket, "" when it would not.
func (w *world) wouldSync(t *testing.T, b *velerov1.Backup) velerov1.BackupPhase {
	t.Helper()
	body, err := w.store.Get(t.Context(), layout.BackupMetadata(b.Name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return ""
	}
	w.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = body.Close() }()
	stored, err := layout.DecodeBackup(body)
	w.Expect(err).NotTo(HaveOccurred())
	return stored.Status.Phase
}

func TestDeletionOnAnAPIServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("everything of the backup goes, and nothing of another", func(t *testing.T) {
		b, other := w.backup(t, "one"), w.backup(t, "one-2")
		r, second := w.request(t, b, "one-a"), w.request(t, b, "one-b")
		restore := &velerov1.Restore{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "one-r", Finalizers: []string{"example.com/restore"}},
			Spec:       velerov1.RestoreSpec{BackupName: "one"},
			Status:     velerov1.RestoreStatus{Phase: velerov1.RestorePhaseCompleted},
		}
		w.Expect(w.client.Create(t.Context(), restore)).To(Succeed())

		w.untilRest(t, r)
		w.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseInProgress))
		w.Expect(w.exists(t, second)).To(BeFalse(), "other requests go")
		w.Expect(w.exists(t, b)).To(BeTrue(), "the restore is still there")
		restore.ResourceVersion = ""
		w.Expect(w.client.Patch(t.Context(), restore, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
		w.untilRest(t, r)

		w.expectGone(t, b, r)
		w.Expect(w.exists(t, other)).To(BeTrue())
		w.Expect(w.keys(t, other)).To(HaveLen(3))
		w.Expect(w.snapshotsOf(other)).To(HaveLen(2))
	})

	t.Run("a restore of it ends first", func(t *testing.T) {
		b := w.backup(t, "read")
		restore := &velerov1.Restore{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "read-r"},
			Spec:       velerov1.RestoreSpec{BackupName: "read"}, Status: velerov1.RestoreStatus{Phase: velerov1.RestorePhaseInProgress},
		}
		w.Expect(w.client.Create(t.Context(), restore)).To(Succeed())
		r := w.request(t, b, "read-x")

		w.untilRest(t, r)
		w.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseInProgress))
		w.Expect(r.Status.Conditions).To(ContainElement(SatisfyAll(
			HaveField("Reason", velerov1.ReasonWaitingForRestores), HaveField("Message", ContainSubstring("read-r")))))
		w.Expect(w.keys(t, b)).To(HaveLen(3))
		w.Expect(w.snapshotsOf(b)).To(HaveLen(2))
		w.Expect(w.wouldSync(t, b)).To(Equal(velerov1.BackupPhaseCompleted), "it can be restored again")

		restore.Status.Phase = velerov1.RestorePhaseCompleted
		w.Expect(w.client.Update(t.Context(), restore)).To(Succeed())
		w.untilRest(t, r) // the restore is deleted
		w.untilRest(t, r)
		w.expectGone(t, b, r)
	})

	t.Run("a running backup is asked to stop first", func(t *testing.T) {
		b := w.backup(t, "running", phase("InProgress"))
		r := w.request(t, b, "running-x")

		w.untilRest(t, r)
		w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
		w.Expect(b.Annotations).To(HaveKeyWithValue("podkeep.io/cancel-requested-by", "DeleteBackupRequest running-x"))
		w.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseInProgress))
		w.Expect(w.keys(t, b)).To(HaveLen(3))

		b.Status.Phase = velerov1.BackupPhaseFailed
		w.Expect(w.client.Update(t.Context(), b)).To(Succeed())
		w.untilRest(t, r)
		w.expectGone(t, b, r)
	})

	t.Run("a failed backup leaves nothing behind", func(t *testing.T) {
		b := w.backup(t, "failed", phase(velerov1.BackupPhaseFailed))
		r := w.request(t, b, "failed-x")
		w.untilRest(t, r)
		w.expectGone(t, b, r)
	})

	t.Run("a backup that was refused does not take the one of its name along", func(t *testing.T) {
		b := w.backup(t, "twice")
		w.Expect(w.client.Delete(t.Context(), b)).To(Succeed())
		refused := completed(neverStarted, phase(velerov1.BackupPhaseFailed))
		refused.Name = "twice"
		w.Expect(w.client.Create(t.Context(), refused)).To(Succeed())
		r := w.request(t, refused, "twice-x")

		w.untilRest(t, r)

		w.Expect(w.exists(t, refused)).To(BeFalse())
		w.Expect(w.keys(t, b)).To(HaveLen(3))
		w.Expect(w.snapshotsOf(b)).To(HaveLen(2))
		w.Expect(w.wouldSync(t, b)).To(Equal(velerov1.BackupPhaseCompleted))
	})

	t.Run("another backup under the name in the bucket stays", func(t *testing.T) {
		b := w.backup(t, "foreign")
		w.Expect(w.client.Delete(t.Context(), b)).To(Succeed())
		later := metav1.Time{Time: t0}
		mine := completed(phase(velerov1.BackupPhaseFailed), func(b *velerov1.Backup) { b.Status.StartTimestamp = &later })
		mine.Name = "foreign"
		w.Expect(w.client.Create(t.Context(), mine)).To(Succeed())
		r := w.request(t, mine, "foreign-x")

		w.untilRest(t, r)

		w.Expect(w.exists(t, mine)).To(BeFalse())
		w.Expect(w.keys(t, b)).To(HaveLen(3))
		w.Expect(w.snapshotsOf(b)).To(HaveLen(2), "its list is not ours either")
	})

	t.Run("a backup that was synced from the bucket goes as well", func(t *testing.T) {
		b := w.backup(t, "synced")
		w.Expect(w.client.Delete(t.Context(), b)).To(Succeed())
		b.ResourceVersion, b.UID = "", ""
		w.Expect(w.client.Create(t.Context(), b)).To(Succeed())
		r := w.request(t, b, "synced-x")
		w.untilRest(t, r)
		w.Expect(w.keys(t, b)).To(BeEmpty())
		w.Expect(w.snapshotsOf(b)).To(BeEmpty())
	})

	t.Run("storage that fails is tried again", func(t *testing.T) {
		b := w.backup(t, "retried")
		r := w.request(t, b, "retried-x")
		w.store.err = fmt.Errorf("%w: no answer", objectstore.ErrUnavailable)
		var err error
		for range 4 {
			_, err = w.reconcile(t, r)
		}
		w.Expect(err).To(MatchError(objectstore.ErrUnavailable))
		w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		w.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseInProgress))
		w.Expect(failure(r).Reason).To(Equal(velerov1.ReasonStorageUnavailable))
		w.Expect(w.wouldSync(t, b)).To(Equal(velerov1.BackupPhaseDeleting))

		t.Run("and given up after a while", func(t *testing.T) {
			w.clock.SetTime(w.clock.Now().Add(5*time.Minute + time.Second))
			w.untilRest(t, r)
			w.Expect(r.Status.Phase).To(Equal(velerov1.DeleteBackupRequestPhaseProcessed))
			w.Expect(r.Status.Errors).To(ConsistOf(ContainSubstring("no answer")))
			w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
			w.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseDeleting))
		})
		w.store.err = nil
		t.Run("and another request goes on", func(t *testing.T) {
			again := w.request(t, b, "retried-y")
			w.untilRest(t, again)
			w.expectGone(t, b, again)
			w.Expect(w.exists(t, r)).To(BeFalse())
		})
	})

	t.Run("what only people can repair ends the request", func(t *testing.T) {
		b := w.backup(t, "password")
		r := w.request(t, b, "password-x")
		w.repositoryErr = errTerminal
		w.untilRest(t, r)
		w.repositoryErr = nil
		w.Expect(r.Status.Errors).To(ConsistOf(ContainSubstring("wrong password")))
		w.Expect(w.keys(t, b)).To(HaveLen(3), "the list of snapshots is still needed")
	})
}

// TestDeletionSurvivesADeathAfterEveryWrite kills the server after each of its
// writes. Whenever it does, the backup is not taken for whole once a snapshot is
// gone, and a new server ends what was begun.
func TestDeletionSurvivesADeathAfterEveryWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for crashAt := 1; ; crashAt++ {
		b := w.backup(t, fmt.Sprintf("crash-%d", crashAt))
		r := w.request(t, b, b.Name+"-x")
		w.calls, w.crashAt = 0, crashAt
		crashed := w.untilCrash(t, r)
		w.crashAt = 0
		if len(w.snapshotsOf(b)) < 2 {
			w.Expect(w.wouldSync(t, b)).NotTo(Equal(velerov1.BackupPhaseCompleted), "after write %d", crashAt)
		}
		if w.exists(t, r) {
			w.untilRest(t, r)
		}
		w.expectGone(t, b, r)
		if !crashed {
			w.Expect(crashAt).To(BeNumerically(">", 8))
			return
		}
	}
}

// untilCrash reconciles until the server dies or is done.
func (w *world) untilCrash(t *testing.T, r *velerov1.DeleteBackupRequest) bool {
	t.Helper()
	for range 20 {
		result, err := w.reconcile(t, r)
		if err != nil {
			w.Expect(err).To(Or(MatchError(errCrash), MatchError(context.Canceled)))
			return true
		}
		if result.RequeueAfter != goOn {
			return false
		}
	}
	return false
}
