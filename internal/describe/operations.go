package describe

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// operationCounts is how many asynchronous operations there are; podkeep starts
// none.
type operationCounts struct{ attempted, completed, failed int }

// operations begins the section of asynchronous operations. It reports whether the
// single ones follow.
func (p *page) operations(heading string, n operationCounts, err error) bool {
	switch {
	case n.attempted == 0:
		return false
	case !p.look.Details:
		p.line("%s:\t%d of %d completed successfully, %d failed%s", heading, n.completed, n.attempted, n.failed, p.moreNote())
		return false
	case err != nil:
		p.line("%s:\t<error getting operation info: %s>", heading, OneLine(err.Error()))
		return false
	}
	p.line("%s:", heading)
	return true
}

func (p *page) backupOperations(s *velerov1.BackupStatus, f File[layout.BackupItemOperationList]) {
	n := operationCounts{s.BackupItemOperationsAttempted, s.BackupItemOperationsCompleted, s.BackupItemOperationsFailed}
	if !p.operations("Backup Item Operations", n, f.Err) {
		return
	}
	for _, o := range f.Content {
		p.line("\tOperation for %s:", itemText(o.Spec.ResourceIdentifier))
		p.line("\t\tBackup Item Action Plugin:\t%s", OneLine(o.Spec.BackupItemAction))
		p.line("\t\tOperation ID:\t%s", OneLine(o.Spec.OperationID))
		if len(o.Spec.PostOperationItems) > 0 {
			p.line("\t\tItems to Update:")
		}
		for _, item := range o.Spec.PostOperationItems {
			p.line("\t\t\t%s", itemText(item))
		}
		p.operationStatus(o.Status)
	}
}

func (p *page) restoreOperations(s *velerov1.RestoreStatus, f File[layout.RestoreItemOperationList]) {
	n := operationCounts{s.RestoreItemOperationsAttempted, s.RestoreItemOperationsCompleted, s.RestoreItemOperationsFailed}
	if !p.operations("Restore Item Operations", n, f.Err) {
		return
	}
	for _, o := range f.Content {
		p.line("\tOperation for %s:", itemText(o.Spec.ResourceIdentifier))
		p.line("\t\tRestore Item Action Plugin:\t%s", OneLine(o.Spec.RestoreItemAction))
		p.line("\t\tOperation ID:\t%s", OneLine(o.Spec.OperationID))
		p.operationStatus(o.Status)
	}
}

func itemText(i layout.ResourceIdentifier) string {
	resource := i.Resource
	if i.Group != "" {
		resource += "." + i.Group
	}
	return OneLine(fmt.Sprintf("%s %s/%s", resource, i.Namespace, i.Name))
}

func (p *page) operationStatus(s layout.ItemOperationStatus) {
	p.line("\t\tPhase:\t%s", OneLine(s.Phase))
	if s.Error != "" {
		p.line("\t\tOperation Error:\t%s", OneLine(s.Error))
	}
	if s.Total > 0 || s.Completed > 0 {
		p.line("\t\tProgress:\t%d of %d complete (%s)", s.Completed, s.Total, OneLine(s.OperationUnits))
	}
	if s.Description != "" {
		p.line("\t\tProgress description:\t%s", OneLine(s.Description))
	}
	for _, at := range []struct {
		name string
		time *metav1.Time
	}{{"Created", s.Created}, {"Started", s.Started}, {"Updated", s.Updated}} {
		if at.time != nil {
			p.line("\t\t%s:\t%s", at.name, at.time)
		}
	}
}
