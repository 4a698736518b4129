package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/internal/layout"
)

// twins are podkeep's client and Velero's, with the same cluster.
type twins struct {
	*WithT
	client     client.WithWatch
	kubeconfig string
	home       string
	velero     string
}

// newTwins starts an API server. Velero's client is a program that is built apart:
// PODKEEP_VELERO_CLIENT names it.
func newTwins(t *testing.T) *twins {
	t.Helper()
	velero := os.Getenv("PODKEEP_VELERO_CLIENT")
	if velero == "" || os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("PODKEEP_VELERO_CLIENT names no client of Velero, or KUBEBUILDER_ASSETS no folder with kube-apiserver: outputs are not compared")
	}
	w := &twins{WithT: NewWithT(t), velero: velero, home: t.TempDir()}
	crds, err := crd.All()
	w.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = env.Stop() })
	file := clientcmdapi.NewConfig()
	file.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	file.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	file.CurrentContext = "x"
	w.kubeconfig = filepath.Join(w.home, "kubeconfig")
	w.Expect(clientcmd.WriteToFile(*file, w.kubeconfig)).To(Succeed())
	scheme, err := newScheme()
	w.Expect(err).NotTo(HaveOccurred())
	w.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}})).To(Succeed())
	w.serve(t)
	return w
}

// serve answers requests as a server would, with files of a storage.
func (w *twins) serve(t *testing.T) {
	t.Helper()
	files := filesOf(t)
	files[velerov1.DownloadTargetKindBackupVolumeInfos] = encoded(t, layout.VolumeInfoList{
		{
			PVName: "pv-1", BackupMethod: layout.BackupMethodNativeSnapshot, Result: layout.VolumeResultSucceeded,
			NativeSnapshotInfo: &layout.NativeSnapshotInfo{SnapshotHandle: "vol-1", VolumeType: "gp3", VolumeAZ: "a", IOPS: "100"},
		},
		{
			PVCName: "data", PVCNamespace: "shop", BackupMethod: layout.BackupMethodCSISnapshot, Result: layout.VolumeResultSucceeded,
			PreserveLocalSnapshot: true, CSISnapshotInfo: &layout.CSISnapshotInfo{SnapshotHandle: "s", SizeBytes: 5, Driver: "d", VSCName: "v", OperationID: "o"},
		},
		{
			PVCName: "logs", PVCNamespace: "shop", BackupMethod: layout.BackupMethodCSISnapshot, Result: layout.VolumeResultFailed,
			SnapshotDataMoved: true, SnapshotDataMovementInfo: &layout.SnapshotDataMovementInfo{UploaderType: "kopia", OperationID: "du-1", SizeBytes: 9},
		},
	})
	files[velerov1.DownloadTargetKindRestoreVolumeInfo] = encoded(t, layout.RestoreVolumeInfoList{{
		PVCName: "data", PVCNamespace: "shop", RestoreMethod: layout.RestoreMethodCSISnapshot,
		CSISnapshotInfo: &layout.CSISnapshotInfo{SnapshotHandle: "s", Driver: "d", VSCName: "v"},
	}})
	files[velerov1.DownloadTargetKindBackupItemOperations] = encoded(t, layout.BackupItemOperationList{{
		Spec: layout.BackupItemOperationSpec{
			BackupItemAction: "a", OperationID: "o",
			ResourceIdentifier: layout.ResourceIdentifier{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
			PostOperationItems: []layout.ResourceIdentifier{{Resource: "pods", Namespace: "shop", Name: "p"}},
		},
		Status: layout.ItemOperationStatus{Phase: "Failed", Error: "no", Completed: 1, Total: 2, OperationUnits: "Bytes", Description: "d", Created: &metav1.Time{Time: time.Unix(5, 0).UTC()}},
	}})
	storage := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		data, ok := files[velerov1.DownloadTargetKind(strings.TrimPrefix(r.URL.Path, "/"))]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(data)
	}))
	t.Cleanup(storage.Close)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			w.answer(ctx, storage.URL)
			time.Sleep(10 * time.Millisecond)
		}
	}()
}

func (w *twins) answer(ctx context.Context, address string) {
	downloads, statuses := &velerov1.DownloadRequestList{}, &velerov1.ServerStatusRequestList{}
	_, _ = w.client.List(ctx, downloads), w.client.List(ctx, statuses)
	for i := range downloads.Items {
		if r := &downloads.Items[i]; r.Status.DownloadURL == "" {
			file := string(r.Spec.Target.Kind)
			if r.Spec.Target.Name == "running" || r.Spec.Target.Name == "rejected" {
				file = "none"
			}
			r.Status = velerov1.DownloadRequestStatus{Phase: velerov1.DownloadRequestPhaseProcessed, DownloadURL: address + "/" + file}
			_ = w.client.Update(ctx, r)
		}
	}
	for i := range statuses.Items {
		if r := &statuses.Items[i]; r.Status.Phase == "" {
			r.Status = velerov1.ServerStatusRequestStatus{
				Phase: velerov1.ServerStatusRequestPhaseProcessed, ServerVersion: "v1.18.3",
				Plugins: []velerov1.PluginInfo{{Name: "velero.io/pod", Kind: "RestoreItemAction"}, {Name: "velero.io/aws", Kind: "ObjectStore"}},
			}
			_ = w.client.Update(ctx, r)
		}
	}
}

// ours is what podkeep's client prints.
func (w *twins) ours(t *testing.T, args ...string) string {
	t.Helper()
	root := newRootCommand(func(name string) string {
		if name == "HOME" {
			return w.home
		}
		return ""
	}, programName)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	run(t.Context(), root, append([]string{"--kubeconfig", w.kubeconfig}, args...))
	return out.String()
}

var columnGaps = regexp.MustCompile("  +")

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// theirs is what Velero's client prints, without colors and spaces at the ends of
// lines.
func (w *twins) theirs(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(w.velero, append([]string{"--kubeconfig", w.kubeconfig, "--colorized=false"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+w.home)
	out, _ := cmd.Output()
	var lines []string
	for line := range strings.SplitSeq(escapes.ReplaceAllString(string(out), ""), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	text := strings.Join(lines, "\n")
	return strings.NewReplacer("`velero ", "`podkeep ", "'velero ", "'podkeep ", "<nil>", "n/a").Replace(text)
}

func TestOutputIsVeleros(t *testing.T) {
	w := newTwins(t)
	w.populate(t)
	texts := []string{
		"backup get", "get backups", "backup get shop-1 --show-labels", "backup get -l team=shop -L team", "restore get", "schedule get",
		"backup-location get", "backup-location get --default", "snapshot-location get", "repo get", "plugin get", "get plugins",
		"backup describe shop-1", "backup describe shop-1 --details", "backup describe filters", "backup describe done --details",
		"backup describe running", "describe backups running done", "backup describe rejected",
		"restore describe back", "restore describe back --details", "restore describe all --details", "describe restores all",
		"schedule describe nightly", "describe schedules", "backup logs shop-1", "restore logs back",
	}
	for _, line := range texts {
		t.Run(line, func(t *testing.T) {
			ours, _, _ := strings.Cut(w.ours(t, strings.Fields(line)...), "\nVolume details:")
			theirs := w.theirs(t, strings.Fields(line)...)
			if strings.Contains(line, "get") {
				// Velero's word for no time is as long as a column may be.
				ours, theirs = columnGaps.ReplaceAllString(ours, "  "), columnGaps.ReplaceAllString(theirs, "  ")
			}

			NewWithT(t).Expect(strings.TrimRight(ours, "\n")).To(Equal(strings.TrimRight(theirs, "\n")))
		})
	}
	documents := []string{
		"backup get -o json", "backup get shop-1 -o json", "schedule get -o json", "backup-location get -o json", "repo get -o json",
		"backup describe shop-1 -o json", "backup describe shop-1 -o json --details", "backup describe filters -o json", "backup describe done -o json --details",
	}
	for _, line := range append(documents, creations()...) {
		t.Run(line, func(t *testing.T) {
			args := strings.Split(line, " ")

			expectAll(t, decode(t, w.theirs(t, args...)), decode(t, w.ours(t, args...)), "")
		})
	}
}

// creations are command lines with every flag, which print what would be sent.
func creations() []string {
	template := "--include-namespaces shop,db --exclude-namespaces test --storage-location default --volume-snapshot-locations ebs " +
		"--default-volumes-to-fs-backup --snapshot-volumes=false --snapshot-move-data --data-mover x --csi-snapshot-timeout 20m " +
		"--item-operation-timeout 1h --ttl 168h --ordered-resources pods=shop/a,shop/b;persistentvolumes=pv --resource-policies-configmap p " +
		"--labels team=shop,a=b --parallel-files-upload 4 -o json"
	return []string{
		"backup create x -o json", "backup create x " + template, "backup create x --annotations why=x --or-selector a=b -o json",
		"backup create x --include-resources pods --exclude-resources secrets --include-cluster-resources=false -l app=shop -o json",
		"backup create x --include-cluster-scoped-resources nodes --exclude-cluster-scoped-resources x --include-namespace-scoped-resources pods " +
			"--exclude-namespace-scoped-resources y -o json",
		"backup create x --from-schedule nightly --labels a=b -o json",
		"schedule create x --schedule @daily -o json", "create schedule x --schedule @daily --paused --use-owner-references-in-backup --skip-immediately=true " + template,
		"restore create x --from-backup shop-1 -o json", "create restore x --from-schedule nightly -o json",
		"restore create x --from-backup shop-1 --include-namespaces shop --exclude-namespaces db --namespace-mappings shop:x,a:b --labels a=b --annotations c=d " +
			"--include-resources pods --exclude-resources secrets --include-cluster-resources --selector app=shop --existing-resource-policy update " +
			"--status-include-resources jobs --status-exclude-resources pods --item-operation-timeout 1h --restore-volumes=false --preserve-nodeports " +
			"--resource-modifier-configmap m --write-sparse-files --parallel-files-download 8 -o json",
		"backup-location create x --provider aws --bucket b --prefix p --credential a=b --config region=x,profile=y --access-mode ReadOnly --labels a=b " +
			"--validation-frequency 0s --backup-sync-period 5m -o json",
		"snapshot-location create x --provider aws --config region=x --labels a=b --credential c=d -o json",
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	NewWithT(t).Expect(json.Unmarshal([]byte(text), &v)).To(Succeed(), text)
	return v
}

// expectAll expects everything of one document in another, which may have more.
// What is empty need not be there.
func expectAll(t *testing.T, want, got any, path string) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		NewWithT(t).Expect(ok || len(w) == 0).To(BeTrue(), "%s: have %v", path, got)
		for key, value := range w {
			if key == "managedFields" {
				continue
			}
			expectAll(t, value, g[key], path+"."+key)
		}
	case []any:
		g, _ := got.([]any)
		NewWithT(t).Expect(g).To(HaveLen(len(w)), path)
		for i := range w {
			expectAll(t, w[i], g[i], path+"[]")
		}
	case nil:
	default:
		if w == "" {
			return
		}
		NewWithT(t).Expect(got).To(Equal(want), path)
	}
}

func (w *twins) populate(t *testing.T) {
	t.Helper()
	at := func(seconds int64) *metav1.Time { return &metav1.Time{Time: time.Unix(1795340000+seconds, 0).UTC()} }
	hour := metav1.Duration{Duration: time.Hour}
	done := velerov1.BackupStatus{
		Phase: velerov1.BackupPhaseCompleted, FormatVersion: "1.1.0", Version: 1, StartTimestamp: at(0), CompletionTimestamp: at(9),
		Expiration: at(90 * 86400), Progress: &velerov1.BackupProgress{TotalItems: 5, ItemsBackedUp: 5},
	}
	failed := done
	failed.Phase, failed.Errors = velerov1.BackupPhasePartiallyFailed, 1
	failed.BackupItemOperationsAttempted, failed.HookStatus = 1, &velerov1.HookStatus{HooksAttempted: 2, HooksFailed: 1}
	named := func(name string) metav1.ObjectMeta {
		m := object(name)
		m.Labels, m.Annotations = map[string]string{"team": "shop", "a": "b"}, map[string]string{"why": "x"}
		return m
	}
	hook := velerov1.BackupResourceHook{Exec: &velerov1.ExecHook{Container: "c", Command: []string{"a", "b"}, OnError: velerov1.HookErrorModeFail, Timeout: hour}}
	filters := velerov1.BackupSpec{
		IncludedNamespaces: []string{"a", "b"}, ExcludedNamespaces: []string{"c"}, IncludedNamespaceScopedResources: []string{"pods"},
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}, OrLabelSelectors: []*metav1.LabelSelector{{MatchLabels: map[string]string{"x": "y"}}},
		DefaultVolumesToFsBackup: ptr.To(true), SnapshotVolumes: ptr.To(false), TTL: hour, StorageLocation: "default",
		ResourcePolicy: &corev1.TypedLocalObjectReference{Kind: "configmap", Name: "p"}, OrderedResources: map[string]string{"pods": "a/b"},
		UploaderConfig: &velerov1.UploaderConfigForBackup{ParallelFilesUpload: 3},
		Hooks: velerov1.BackupHooks{Resources: []velerov1.BackupResourceHookSpec{{
			Name: "h", IncludedNamespaces: []string{"a"}, PreHooks: []velerov1.BackupResourceHook{hook}, PostHooks: []velerov1.BackupResourceHook{hook},
		}}},
	}
	shop := &velerov1.Backup{ObjectMeta: named("shop-1"), Spec: velerov1.BackupSpec{StorageLocation: "default", TTL: hour}, Status: failed}
	restored := velerov1.RestoreStatus{
		Phase: velerov1.RestorePhasePartiallyFailed, StartTimestamp: at(0), CompletionTimestamp: at(9), Errors: 1,
		Progress: &velerov1.RestoreProgress{TotalItems: 5, ItemsRestored: 5}, HookStatus: &velerov1.HookStatus{HooksAttempted: 2},
	}
	scheduled := object("nightly-20261122000000")
	scheduled.Labels = map[string]string{velerov1.ScheduleNameLabel: "nightly"}
	objects := []client.Object{
		shop,
		&velerov1.Backup{ObjectMeta: object("done"), Spec: velerov1.BackupSpec{StorageLocation: "default", TTL: hour}, Status: done},
		&velerov1.Backup{ObjectMeta: scheduled, Status: done},
		&velerov1.Backup{ObjectMeta: object("nightly-20261123000000"), Status: done},
		&velerov1.Backup{ObjectMeta: object("filters"), Spec: filters, Status: done},
		&velerov1.Backup{ObjectMeta: object("running"), Status: velerov1.BackupStatus{
			Phase: velerov1.BackupPhaseInProgress, StartTimestamp: at(0), Expiration: at(90 * 86400), Progress: &velerov1.BackupProgress{TotalItems: 5, ItemsBackedUp: 2},
		}},
		&velerov1.Backup{ObjectMeta: object("rejected"), Status: velerov1.BackupStatus{
			Phase: velerov1.BackupPhaseFailedValidation, ValidationErrors: []string{"one", "two"}, Expiration: at(90 * 86400),
		}},
		&velerov1.Restore{ObjectMeta: named("back"), Spec: velerov1.RestoreSpec{BackupName: "shop-1", IncludedNamespaces: []string{"*"}}, Status: restored},
		&velerov1.Restore{ObjectMeta: object("all"), Status: velerov1.RestoreStatus{
			Phase: velerov1.RestorePhaseCompleted, ValidationErrors: []string{"one", "two"}, StartTimestamp: at(0), CompletionTimestamp: at(0),
		}, Spec: velerov1.RestoreSpec{
			BackupName: "shop-1", IncludedNamespaces: []string{"a", "b"}, ExcludedNamespaces: []string{"c"}, IncludedResources: []string{"pods"},
			NamespaceMapping: map[string]string{"a": "x", "b": "y"}, ExistingResourcePolicy: velerov1.PolicyTypeUpdate, RestorePVs: ptr.To(true),
			PreserveNodePorts: ptr.To(true), ResourceModifier: &corev1.TypedLocalObjectReference{Kind: "configmap", Name: "m"},
			UploaderConfig: &velerov1.UploaderConfigForRestore{WriteSparseFiles: ptr.To(true), ParallelFilesDownload: 4}, ItemOperationTimeout: hour,
		}},
		&velerov1.Schedule{
			ObjectMeta: named("nightly"), Spec: velerov1.ScheduleSpec{Schedule: "@daily", Template: filters, UseOwnerReferencesInBackup: ptr.To(false)},
			Status: velerov1.ScheduleStatus{Phase: velerov1.SchedulePhaseEnabled, LastBackup: at(0)},
		},
		&velerov1.BackupStorageLocation{ObjectMeta: object("default"), Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws", Default: true, StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b", Prefix: "p"}},
		}, Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable, LastValidationTime: at(0)}},
		&velerov1.VolumeSnapshotLocation{ObjectMeta: object("ebs"), Spec: velerov1.VolumeSnapshotLocationSpec{Provider: "aws"}},
		&velerov1.BackupRepository{ObjectMeta: object("r"), Status: velerov1.BackupRepositoryStatus{Phase: velerov1.BackupRepositoryPhaseReady, LastMaintenanceTime: at(0)}},
		&velerov1.BackupRepository{ObjectMeta: object("s")},
	}
	for _, o := range objects {
		w.Expect(w.client.Create(t.Context(), o)).To(Succeed(), o.GetName())
	}
	w.populateVolumes(t, shop)
}

func (w *twins) populateVolumes(t *testing.T, b *velerov1.Backup) {
	t.Helper()
	pod := func(name string) corev1.ObjectReference {
		return corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: name}
	}
	for i, phase := range []velerov1.PodVolumeBackupPhase{
		velerov1.PodVolumeBackupPhaseCompleted, velerov1.PodVolumeBackupPhaseCompleted, velerov1.PodVolumeBackupPhaseInProgress,
		velerov1.PodVolumeBackupPhasePrepared, velerov1.PodVolumeBackupPhaseAccepted, "",
	} {
		m := object("v" + string(rune('a'+i)))
		m.Labels = map[string]string{velerov1.BackupNameLabel: b.Name, velerov1.RestoreNameLabel: "back"}
		progress := velerov1.DataMoveOperationProgress{TotalBytes: 100, BytesDone: 40}
		name := "web-" + string(rune('0'+i/2))
		w.Expect(w.client.Create(t.Context(), &velerov1.PodVolumeBackup{
			ObjectMeta: m, Spec: velerov1.PodVolumeBackupSpec{Pod: pod(name), Volume: "v" + string(rune('0'+i)), UploaderType: "kopia"},
			Status: velerov1.PodVolumeBackupStatus{Phase: phase, Progress: progress, IncrementalBytes: int64(i % 2)},
		})).To(Succeed())
		w.Expect(w.client.Create(t.Context(), &velerov1.PodVolumeRestore{
			ObjectMeta: m, Spec: velerov1.PodVolumeRestoreSpec{Pod: pod(name), Volume: "v" + string(rune('0'+i)), UploaderType: "kopia"},
			Status: velerov1.PodVolumeRestoreStatus{Phase: velerov1.PodVolumeRestorePhase(phase), Progress: progress},
		})).To(Succeed())
	}
	m := object("shop-1-x")
	m.Labels = map[string]string{velerov1.BackupNameLabel: b.Name, velerov1.BackupUIDLabel: string(b.UID)}
	w.Expect(w.client.Create(t.Context(), &velerov1.DeleteBackupRequest{
		ObjectMeta: m, Spec: velerov1.DeleteBackupRequestSpec{BackupName: b.Name},
		Status: velerov1.DeleteBackupRequestStatus{Phase: velerov1.DeleteBackupRequestPhaseProcessed, Errors: []string{"no"}},
	})).To(Succeed())
}
