package download

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type mod func(*velerov1.DownloadRequest)

// ask is a new request for the log of backup "nightly".
func ask(mods ...mod) *velerov1.DownloadRequest {
	r := &velerov1.DownloadRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly-1", CreationTimestamp: metav1.Time{Time: t0}},
		Spec:       velerov1.DownloadRequestSpec{Target: velerov1.DownloadTarget{Kind: velerov1.DownloadTargetKindBackupLog, Name: "nightly"}},
	}
	for _, m := range mods {
		m(r)
	}
	return r
}

func processed(expires time.Time) mod {
	return func(r *velerov1.DownloadRequest) {
		r.Status.Phase, r.Status.DownloadURL = velerov1.DownloadRequestPhaseProcessed, "http://localhost:8087/download/nightly-1/secret"
		r.Status.Expiration = &metav1.Time{Time: expires}
	}
}

func madeAt(at time.Time) mod {
	return func(r *velerov1.DownloadRequest) { r.CreationTimestamp = metav1.Time{Time: at} }
}

func TestPlan(t *testing.T) {
	t.Parallel()
	missing := &obstacle{velerov1.ReasonBackupNotFound, "there is no Backup nightly"}
	tests := map[string]struct {
		request  *velerov1.DownloadRequest
		obstacle *obstacle
		want     step
	}{
		"a new one gets an address":               {ask(), nil, step{actAddress, lifetime}},
		"without a file it gets an explanation":   {ask(), missing, step{actExplain, retryInterval}},
		"also at the end of its life":             {ask(madeAt(t0.Add(time.Second - lifetime))), missing, step{actExplain, time.Second}},
		"an answered one is kept until it ends":   {ask(processed(t0.Add(time.Minute))), nil, step{actNothing, time.Minute}},
		"an expired one goes":                     {ask(processed(t0)), nil, step{actDelete, 0}},
		"so does one that never had an address":   {ask(madeAt(t0.Add(-lifetime))), missing, step{actDelete, 0}},
		"one of Velero without expiration":        {ask(processed(t0), func(r *velerov1.DownloadRequest) { r.Status.Expiration = nil }), nil, step{actNothing, lifetime}},
		"one that goes away is left":              {ask(func(r *velerov1.DownloadRequest) { r.DeletionTimestamp = &metav1.Time{Time: t0} }), nil, step{actNothing, 0}},
		"one whose phase is New gets its address": {ask(func(r *velerov1.DownloadRequest) { r.Status.Phase = "New" }), nil, step{actAddress, lifetime}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := plan(observed{request: tc.request, now: t0, obstacle: tc.obstacle})

			NewWithT(t).Expect(got).To(Equal(tc.want))
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	f := file{key: "backups/nightly/nightly-logs.gz", location: &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Name: "default"}}}
	tests := map[string]struct {
		action     action
		answer     answer
		wantPhase  velerov1.DownloadRequestPhase
		wantURL    string
		wantReason string
		wantText   string
		wantEnd    time.Time
	}{
		"an address": {actAddress, answer{url: "u"}, "Processed", "u", velerov1.ReasonSucceeded, "can be read", t0.Add(time.Minute + lifetime)},
		"an address of a file that is not there": {
			actAddress, answer{url: "u", remark: notThere(f)}, "Processed", "u", velerov1.ReasonObjectNotFound,
			"there is no file backups/nightly/nightly-logs.gz in location default", t0.Add(time.Minute + lifetime),
		},
		"no backup": {
			actExplain, answer{obstacle: &obstacle{velerov1.ReasonBackupNotFound, "there is no Backup nightly"}}, "New", "", velerov1.ReasonBackupNotFound,
			"there is no Backup", t0.Add(lifetime),
		},
		"an address that could not be signed": {
			actAddress, answer{obstacle: obstacleOf(fmt.Errorf("signing: %w", objectstore.ErrAccessDenied))}, "New", "", velerov1.ReasonAccessDenied,
			"signing", t0.Add(lifetime),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := ask()

			report(observed{request: r, now: t0.Add(time.Minute)}, step{action: tc.action}, tc.answer)

			g.Expect(r.Status.Phase).To(Equal(tc.wantPhase))
			g.Expect(r.Status.DownloadURL).To(Equal(tc.wantURL))
			g.Expect(r.Status.Expiration.Time).To(Equal(tc.wantEnd))
			g.Expect(r.Status.Conditions).To(HaveLen(1))
			g.Expect(r.Status.Conditions[0].Reason).To(Equal(tc.wantReason))
			g.Expect(r.Status.Conditions[0].Message).To(ContainSubstring(tc.wantText))
		})
	}
}

// Every kind that the API takes has a file of its own, below the folder of its
// backup or restore.
func TestEveryKindHasAFile(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	seen := map[string]velerov1.DownloadTargetKind{}
	kinds := kindsOfTheAPI(t)
	g.Expect(kinds).To(HaveLen(len(keys)))

	for _, kind := range kinds {
		g.Expect(keys).To(HaveKey(kind))
		key := keys[kind]("x")
		folder := layout.BackupPrefix("x")
		if strings.HasPrefix(string(kind), "Restore") {
			folder = layout.RestorePrefix("x")
		}
		g.Expect(key).To(HavePrefix(folder), string(kind))
		g.Expect(isOfRestore(kind)).To(Equal(strings.HasPrefix(string(kind), "Restore")), string(kind))
		g.Expect(seen).NotTo(HaveKey(key))
		seen[key] = kind
	}
}

func kindsOfTheAPI(t *testing.T) []velerov1.DownloadTargetKind {
	t.Helper()
	g := NewWithT(t)
	all, err := crd.All()
	g.Expect(err).NotTo(HaveOccurred())
	var schema apiextensionsv1.JSONSchemaProps
	for _, c := range all {
		if c.Spec.Names.Kind == "DownloadRequest" {
			schema = c.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["target"].Properties["kind"]
		}
	}
	var kinds []velerov1.DownloadTargetKind
	for _, value := range schema.Enum {
		var kind velerov1.DownloadTargetKind
		g.Expect(json.Unmarshal(value.Raw, &kind)).To(Succeed())
		kinds = append(kinds, kind)
	}
	return kinds
}

func TestAddressIsComparedAsAWhole(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := ask(processed(t0))

	g.Expect(isAddressOf(r, "/download/nightly-1/secret")).To(BeTrue())
	for _, wrong := range []string{"", "/download/nightly-1/", "/download/nightly-1/secre", "/download/nightly-1/secret/", "/download/nightly-2/secret"} {
		g.Expect(isAddressOf(r, wrong)).To(BeFalse(), wrong)
	}
	g.Expect(isAddressOf(ask(), "")).To(BeFalse(), "a request without an address has none")
	signed := ask(processed(t0), func(r *velerov1.DownloadRequest) {
		r.Status.DownloadURL = "https://s3.example.com/bucket/key?X-Amz-Signature=a"
	})
	g.Expect(isAddressOf(signed, "/download/nightly-1/")).To(BeFalse())
}

var errCut = errors.New("the disk broke")
